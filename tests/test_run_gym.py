"""run.py with Gymnasium environments: registered ones, and one of the user's own with its agents and pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_run import ROOT, run

POLE = ("domain=gym", "domain.env_id=CartPole-v1")
OWN = ("domain=gym", "domain.env_id=MyEnv-v0", "domain.entry_point=my_package.envs:MyEnv")


def manifests(root: Path, task: str, kind: str = "episodes") -> dict[str, dict[str, Any]]:
    found = map(json.loads, (path.read_text() for path in root.glob(f"artifacts/gym/{task}/{kind}/*/manifest.json")))
    return {manifest["version"]: manifest for manifest in found}


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's package, on Python's path."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "examples"))
    return ROOT / "examples"


def test_a_registered_environment_is_collected_and_replays_exactly(tmp_path):
    text = run(tmp_path, "stage=collect", *POLE, "policy=random", "episodes=5", "workers=1")
    assert "collect gym/cartpole-v1 built" in text
    words = ("task=CartPole-v1", "episodes=5", "domain.display_name=Pole on a cart")
    assert "collect gym/cartpole-v1 found" in run(tmp_path, "stage=collect", *POLE, *words)
    (manifest,) = manifests(tmp_path, "cartpole-v1").values()
    assert manifest["version"] == "random-v1"
    assert manifest["parameters"]["environment"]["id"] == "CartPole-v1"
    audit = run(tmp_path, "stage=verify", *POLE, "stage.verify.audit=replay", "workers=1")
    assert "5 of 5 episodes replay exactly" in audit
    words = ("domain=gym", "domain.env_id=Acrobot-v1", "stage.verify.audit=replay")
    assert "another environment than was named" in run(tmp_path, "stage=verify", *words)


@pytest.mark.slow
def test_an_environment_of_ones_own_with_its_agents_and_pictures(tmp_path, examples):
    pytest.importorskip("stable_baselines3")
    agents = tmp_path / "my_agent"
    words = [sys.executable, str(examples / "train_my_agent.py"), "--steps", "3200", "--out", str(agents)]
    subprocess.run(words, check=True, capture_output=True)
    assert sorted(path.name for path in agents.iterdir()) == ["rl_model_1600_steps.zip", "rl_model_3200_steps.zip"]
    text = run(
        tmp_path, "stage=collect", *OWN, "domain.packages=[my_package]",
        "+domain.env_kwargs={max_episode_steps: 20, difficulty: hard}", "policy=sb3", f"policy.path={agents}",
        "policy.checkpoints=[1600,3200]", "episodes=2", "render=true", "trust=true", "workers=1",
    )  # fmt: skip
    assert text.count("collect gym/myenv-v0 built") == 2
    made = manifests(tmp_path, "myenv-v0")
    assert set(made) == {"ppo-1600-v1", "ppo-3200-v1"}
    environment = made["ppo-3200-v1"]["parameters"]["environment"]
    assert environment["kwargs"] == {"difficulty": "hard"}
    assert environment["max_steps"] == 20
    assert made["ppo-3200-v1"]["counts"]["success_known"] == 2
    pictures = manifests(tmp_path, "myenv-v0", "frames").values()
    assert [each["counts"]["frames"] for each in pictures] == [each["counts"]["states"] + 2 for each in made.values()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("domain=gym",), "domain.env_id=CartPole-v1"),
        (OWN, "PYTHONPATH"),
        ((*POLE, "+domain.env_kwargs={sutton_barto_rewards: true}"), "max_episode_steps, sutton_barto_reward."),
        (("domain=gym", "domain.env_id=Asteroids-v0"), "domain.packages"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, words, message):
    text = run(tmp_path, "stage=collect", *words, "episodes=1", status=1)
    assert message in text
    assert "Traceback" not in text


def test_an_environment_that_cannot_draw_says_so_when_pictures_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = ("domain=gym", "domain.env_id=Plain-v0", "domain.entry_point=tests.pipeline.envs.gym_envs:Plain")
    settings = ("domain.max_steps=3", "episodes=1", "workers=1")
    assert "Plain-v0 cannot draw pictures" in run(tmp_path, "stage=collect", *words, *settings, "render=true", status=1)
    assert "built" in run(tmp_path, "stage=collect", *words, *settings)
