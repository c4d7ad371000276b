"""run.py with trained agents: each checkpoint makes its own dataset, and what is wrong with one is said in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stable_baselines3 import PPO

from examples.train_agent import AsGymnasium
from pipeline.envs.toy import Toy
from tests.test_run import run

pytestmark = pytest.mark.slow

COLLECT = ("stage=collect", "domain=toy", "task=corner", "policy=sb3", "trust=true", "episodes=3", "workers=1")


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of one training, named as Stable-Baselines3's callback names them."""
    folder = tmp_path_factory.mktemp("agents")
    agent = PPO("MlpPolicy", AsGymnasium(Toy("corner")), n_steps=32, batch_size=32, n_epochs=1, device="cpu", seed=0)
    for steps in (32, 64):
        agent.learn(32, reset_num_timesteps=False)
        agent.save(folder / f"rl_model_{steps}_steps.zip")
    return folder


def manifests(root: Path, kind: str = "episodes") -> dict[str, dict]:
    found = map(json.loads, (path.read_text() for path in root.glob(f"artifacts/toy/corner/{kind}/*/manifest.json")))
    return {manifest["version"]: manifest for manifest in found}


def test_each_checkpoint_makes_its_own_dataset(tmp_path, agents):
    text = run(tmp_path, *COLLECT, f"policy.path={agents}", "policy.checkpoints=[32,-1]")
    assert text.count("collect toy/corner built") == 2
    made = manifests(tmp_path)
    assert set(made) == {"ppo-32-v1", "ppo-64-v1"}
    assert [manifest["counts"]["episodes"] for manifest in made.values()] == [3, 3]
    policies = [manifest["parameters"]["policy"] for manifest in made.values()]
    assert {policy["step"] for policy in policies} == {32, 64}
    assert {policy["algorithm"] for policy in policies} == {"ppo"}
    again = run(tmp_path, *COLLECT, f"policy.path={agents}", "policy.checkpoints=[32,-1]")
    assert again.count("collect toy/corner found") == 2


def test_reading_stages_know_the_datasets_of_checkpoints(tmp_path, agents):
    words = (*COLLECT[1:-2], "episodes=8", "workers=1", f"policy.path={agents}", "retrieval.demos=2")
    run(tmp_path, "stage=retrieval", *words, "policy.checkpoints=[32,64]", "inputs=build")
    assert set(manifests(tmp_path)) == {"ppo-32-v1", "ppo-64-v1"}
    assert len(manifests(tmp_path, "retrieval")) == 2


def test_randomness_is_part_of_what_the_policy_is(tmp_path, agents):
    words = (*COLLECT, f"policy.path={agents}")
    run(tmp_path, *words, "policy.randomness=0.2")
    assert manifests(tmp_path)["ppo-64-v1"]["parameters"]["policy"]["randomness"] == 0.2
    text = run(tmp_path, *words, status=1)
    assert "policy.randomness: 0.2 there, nothing asked" in text
    run(tmp_path, *words, "dataset=calm-v1")
    assert set(manifests(tmp_path)) == {"ppo-64-v1", "calm-v1"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("policy.checkpoints=48",), "There are: 32, 64"),
        (("trust=false",), "trust=true"),
        (("task=corner", "domain=metaworld", "task=reach"), "action"),
        (("policy.path=nowhere.zip",), "nowhere.zip"),
        (("policy.checkpoints=[32,64]", "dataset=one-v1"), "the checkpoints make ppo-32-v1, ppo-64-v1"),
        (("policy.randomness=1.5",), "from 0 to 1"),
    ],
)
def test_what_is_wrong_with_an_agent_is_said_in_a_line(tmp_path, agents, words, message):
    text = run(tmp_path, *COLLECT, f"policy.path={agents}", *words, status=1)
    assert message in text
    assert "Traceback" not in text
    assert manifests(tmp_path) == {}
