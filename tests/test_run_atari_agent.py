"""run.py with an agent of RL Zoo on Atari: it plays in the stack that it was trained in, and so do all later stages."""

import json
import shlex

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO

from pipeline import Workspace
from tests.pipeline.policies.sb3.test_zoo import ARGS, CONFIG
from tests.test_pasted_policies import Still
from tests.warm_shell import ROOT, WarmShell

pytestmark = pytest.mark.slow

RUN = shlex.quote(str(ROOT / "run.py"))
GAME = ("domain=atari", "task=breakout", "domain.max_steps=90")
AGENT = (*GAME, "policy=sb3", "policy.path=zoo", "trust=true", "workers=1", "episodes=2")
TRAINED = {"noops": 30, "sticky": 0.0, "fire_reset": True}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A shell beside an agent that was made and not trained, with the files that RL Zoo writes."""
    shell = WarmShell(tmp_path_factory.mktemp("zoo"), "policies.sb3.network", "envs.atari.screen")
    stack = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    agent = PPO("MlpPolicy", Still(stack, 4), policy_kwargs={"net_arch": [4]}, device="cpu", seed=0)
    folder = shell.folder / "zoo" / "BreakoutNoFrameskip-v4"
    folder.mkdir(parents=True)
    agent.save(folder.with_suffix(".zip"))
    (folder / "config.yml").write_text(CONFIG)
    (folder / "args.yml").write_text(ARGS.replace("Pong", "Breakout"))
    shell.collected = shell.run("stage=collect", *AGENT)
    yield shell
    shell.close()


def manifest(shell, dataset="ppo-0-v1"):
    file = shell.folder / "my data" / "artifacts" / "atari" / "breakout" / "episodes" / dataset / "manifest.json"
    return json.loads(file.read_text())


def test_the_agents_own_settings_are_part_of_what_was_made(shell):
    assert "BreakoutNoFrameskip-v4/config.yml says how BreakoutNoFrameskip-v4.zip was trained" in shell.collected
    made = manifest(shell)
    environment = made["parameters"]["environment"]
    assert {name: environment[name] for name in TRAINED} == TRAINED
    assert made["parameters"]["policy"]["stack"] == 4
    words = shlex.split(made["command"])
    assert {"domain.environment.fire_reset=true", "domain.environment.noops=30", "policy.stack=4"} <= set(words)
    assert shell.run("stage=collect", *AGENT).count(" found ") == 1


def test_the_audit_steps_it_again_with_the_suggested_settings(shell):
    (line,) = shell.suggested("stage=verify", *GAME, "stage.verify.audit=replay")
    assert "domain.environment.fire_reset=true" in shlex.split(line)
    assert "2 of 2 episodes replay exactly" in shell.pasted(line)


def test_frames_are_drawn_of_the_same_game(shell):
    assert "built" in shell.run("stage=frames", *AGENT)
    dataset = Workspace(str(shell.folder / "my data"))["atari/breakout/ppo-0-v1"]
    assert dataset[0].steps["info/forced"].sum() > 0


def test_what_the_user_says_wins(shell):
    words = ("domain.environment.fire_reset=false", "domain.environment.noops=5", "dataset=mine-v1")
    assert "kept as it was given" in shell.run("stage=collect", *AGENT, *words)
    environment = manifest(shell, "mine-v1")["parameters"]["environment"]
    assert (environment["noops"], environment["sticky"], "fire_reset" in environment) == (5, 0.0, False)
    assert "says how" not in shell.run("stage=collect", *AGENT, "policy.settings=false", "dataset=shipped-v1")
    assert manifest(shell, "shipped-v1")["parameters"]["environment"]["sticky"] == 0.25


WAITS = "def wait(observation, rng):\n    return 0\n"


def test_a_player_that_waits_for_ever_is_told_at_the_end_in_the_catalog_and_on_the_page(shell):
    (shell.folder / "player.py").write_text(WAITS)
    words = f"{' '.join(GAME[:2])} domain.max_steps=520 dataset=waits-v1 workers=1 'paths.root=my data'"
    player = "policy=callable policy.function._target_=player.wait policy.batched=false episodes=2"
    status, text = shell.paste(f"PYTHONPATH=. python {RUN} 'stage=[collect,report]' {words} {player}")
    assert status == 0, text
    assert "in 2 new episodes nothing on the screen changes for 500 decisions" in text
    assert "domain.environment.fire_reset=true" in text
    assert manifest(shell, "waits-v1")["counts"]["stuck"] == 2
    assert "2 stuck" in shell.run("stage=catalog", *GAME)
    (page,) = (shell.folder / "my data").rglob("index.html")
    assert "Stuck, because nothing on the screen changes" in page.read_text()
