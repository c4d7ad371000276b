"""Suggestions about simulators, sources and damage, each provoked and pasted into a warm shell."""

import json
import shlex
import shutil

import pytest

from tests.jat_files import make_jat
from tests.warm_shell import COMMAND, WarmShell

pytestmark = pytest.mark.slow

SCREEN = ("domain=gym", "domain.env_id=Screen-v0", "domain.entry_point=screen:Screen", "policy=random", "workers=1")
MODULE = """
import os
import gymnasium as gym
import numpy as np

class Screen(gym.Env):
    observation_space = gym.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)
    left = 0

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 4
        return self.seen(), {}

    def seen(self):
        return self.np_random.integers(0, int(os.environ.get("COLOURS", "256")), (32, 32, 3), np.uint8)

    def step(self, action):
        self.left -= 1
        return self.seen(), 0.0, False, self.left == 0, {}
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A shell beside a user's module, whose observations are pictures, and a folder of JAT's files."""
    shell = WarmShell(tmp_path_factory.mktemp("a b"))
    (shell.folder / "screen.py").write_text(MODULE)
    make_jat(shell.folder / "jat files", [5, 4], name="metaworld-assembly")
    yield shell
    shell.close()


@pytest.mark.parametrize(
    "words",
    [
        ("domain=atari", "task=pong", "domain.max_steps=5"),
        ("domain=mujoco", "task=hopper", "domain.max_steps=5"),
        ("domain=dmc", "task=cartpole-swingup", "domain.max_steps=5"),
    ],
    ids=lambda words: words[0],
)
def test_where_no_expert_is_a_random_policy_plays(shell, words):
    (play,) = shell.suggested("stage=collect", *words, "policy=scripted", "episodes=1", "workers=1")
    assert "policy=random" in shlex.split(play)
    assert "1 episode," in shell.pasted(play)


def test_pictures_need_a_network(shell, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ".")
    shell.run("stage=collect", *SCREEN, "episodes=2")
    for stage in ("embeddings", "retrieval"):
        (command,) = shell.suggested(f"stage={stage}", *SCREEN, "dataset=random-v1", "retrieval.demos=2")
        assert f"{stage} gym/screen-v0 built" in shell.pasted(
            f"{command} embedding.compile=false embedding.batch=8", FILE="random"
        )


def test_a_gpu_that_is_not_there(shell, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ".")
    network = ("embedding=resnet18_regent", "embedding.weights=random", "embedding.compile=false", "embedding.batch=8")
    words = (*SCREEN, "dataset=gpu", "episodes=2")
    shell.run("stage=collect", *words)
    (without,) = shell.suggested("stage=embeddings", *words, *network, "embedding.device=cuda:99")
    assert "embedding.device=cpu" in shlex.split(without)
    assert "embeddings gym/screen-v0 built" in shell.pasted(without)


def test_missions_with_too_few_episodes(shell):
    words = ("domain=babyai", "task=go-to-red-ball", "dataset=random-v1", "domain.max_steps=8")
    shell.run("stage=collect", *words, "policy=random", "episodes=3", "workers=1")
    (fewer,) = shell.suggested("stage=retrieval", *words)
    assert "retrieval babyai/go-to-red-ball built" in shell.pasted(fewer)


def test_a_source_with_too_few_episodes(shell):
    words = ("domain=metaworld", "task=assembly", "dataset=jat-v1")
    source = ("source=jat", "source.path=jat files")
    (all_of_them,) = shell.suggested("stage=ingest", *words, *source, "episodes=5")
    assert "ingest metaworld/assembly built" in shell.pasted(all_of_them)
    (all_of_them,) = shell.suggested("stage=retrieval", *words, "retrieval.demos=2", "episodes=5")
    assert "retrieval metaworld/assembly built" in shell.pasted(all_of_them)


def test_a_damaged_copy_in_the_other_storage_is_removed(shell):
    words = ("stage=collect", "domain=toy", "task=corner", "dataset=copied", "policy=random", "workers=1")
    shell.run(*words, "episodes=2", "storage=bin")
    digests = next(shell.folder.glob("my data/artifacts/toy/corner/episodes/copied-bin/**/digest*"))
    digests.write_bytes(bytes(digests.stat().st_size))
    (again,) = shell.suggested(*words, "episodes=3")
    assert again.startswith("rm -r ")
    assert "3 episodes" in shell.pasted(again)


def test_a_dataset_whose_manifest_was_changed_is_removed_and_made_again(shell):
    words = ("domain=toy", "task=corner", "dataset=changed", "policy=random", "workers=1", "storage=bin")
    shell.run("stage=collect", *words, "episodes=2")
    manifest = next(shell.folder.glob("my data/artifacts/toy/corner/episodes/changed-bin/manifest.json"))
    manifest.write_text(manifest.read_text().replace('"max_steps": ', '"max_steps": 1'))
    for stage in ("stage=retrieval", "stage=verify"):
        (again,) = shell.suggested(stage, *words, "retrieval.demos=1")
        assert again.startswith("rm -r ")
        assert {"stage=collect", "dataset=changed", "policy=random", "storage=bin"} <= set(shlex.split(again))
    assert "collect toy/corner built" in shell.pasted(again)


def test_a_dataset_whose_manifest_is_torn_is_made_again_with_the_policy_and_seed_that_its_run_recorded(shell):
    words = ("domain=toy", "task=corner", "dataset=torn", "policy=random", "workers=1")
    shell.run("stage=collect", *words, "episodes=2", "seed=7")
    shell.run("stage=collect", *words, "episodes=3", "seed=7")
    manifest = next(shell.folder.glob("my data/artifacts/toy/corner/episodes/torn/manifest.json"))
    whole = json.loads(manifest.read_text())
    manifest.write_text(manifest.read_text()[:300])
    (again,) = shell.suggested("stage=verify")
    assert {"policy=random", "seed=7", "episodes=3"} <= set(shlex.split(again))
    assert "collect toy/corner built" in shell.pasted(again)
    assert json.loads(manifest.read_text())["digest"] == whole["digest"]
    manifest.write_text("{")
    shutil.rmtree(shell.folder / "my data" / "runs")
    text = shell.run("stage=verify", status=1)
    assert "the defaults, of policy and seed, too." in text
    (again,) = COMMAND.findall(text)
    assert "collect toy/corner built" in shell.pasted(f"{again} policy=random seed=7 episodes=3")
    assert json.loads(manifest.read_text())["digest"] == whole["digest"]


def test_a_damaged_input_is_removed_and_made_again_and_then_the_chain_goes_on(shell):
    words = ("domain=toy", "task=key", "dataset=hurt", "policy=random", "workers=1", "storage=bin", "retrieval.demos=2")
    shell.run("stage=[collect,retrieval]", *words, "episodes=2")
    for name in ("neighbours.bin", "reward.bin"):
        path = next(shell.folder.glob(f"my data/artifacts/toy/key/**/{name}"))
        path.write_bytes(path.read_bytes()[:-4])
        (again,) = shell.suggested("stage=distances", *words)
        assert again.startswith("rm -r ")
        assert "built" in shell.pasted(again)
    assert "distances toy/key built" in shell.run("stage=distances", *words)


def test_another_program_gives_other_content(shell, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ".")
    words = ("stage=collect", *SCREEN, "dataset=moved", "episodes=1")
    shell.run(*words)
    monkeypatch.setenv("COLOURS", "9")
    (check,) = shell.suggested(*words, "force=true")
    assert "episodes/moved: whole" in shell.pasted(check)
