"""Suggestions of the chain from episodes to parquet, and of hubs, each provoked and pasted into a warm shell."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from tests import hub_server
from tests.warm_shell import ROOT, WarmShell

pytestmark = pytest.mark.slow

TOY = ("domain=toy", "task=corner", "workers=1")
SMALL = (*TOY, "domain.max_steps=30", "dataset=my-data_1", "retrieval.demos=2", "storage=bin")
JITTER = ("domain=gym", "domain.env_id=Jitter-v0", "domain.entry_point=jitter:Jitter", "retrieval.demos=2", "workers=1")
MODULE = """
import os
import gymnasium as gym
import numpy as np

class Jitter(gym.Env):
    metadata = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Box(-9, 9, (2,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 20
        return self.seen(), {}

    def seen(self):
        return self.np_random.random(2) + float(os.environ.get("JITTER", "0"))

    def step(self, action):
        self.left -= 1
        return self.seen(), 0.0, False, self.left == 0, {}

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A shell beside two small datasets: `my-data_1` of three episodes, `one` of one."""
    shell = WarmShell(tmp_path_factory.mktemp("a b"))
    shell.run("stage=collect", *SMALL, "policy=random", "episodes=3")
    shell.run("stage=collect", *TOY, "policy=random", "episodes=1", "dataset=one")
    yield shell
    shell.close()


def test_each_missing_input_of_the_chain_in_turn(shell):
    for stage, missing in (("distances", "retrieval"), ("bins", "distances"), ("parquet", "bins")):
        make, _ = shell.suggested(f"stage={stage}", *SMALL)
        assert f"stage={missing}" in shlex.split(make)
        assert f"{missing} toy/corner built" in shell.pasted(make)
    make, _ = shell.suggested("stage=publish", *SMALL, "hub.repo_id=me/x")
    assert "parquet toy/corner built" in shell.pasted(make)


def test_a_dataset_that_no_task_or_not_this_task_has(shell):
    (make,) = shell.suggested("stage=retrieval", "domain=toy", "domain.max_steps=30", "dataset=none", "storage=bin")
    assert "domain.max_steps=30" in shlex.split(make)
    assert "collect toy/corner built" in shell.pasted(f"{make} episodes=1")
    make, build = shell.suggested("stage=retrieval", *TOY, "dataset=other", "retrieval.demos=2", "episodes=2")
    assert "collect toy/corner built" in shell.pasted(make)
    assert "retrieval toy/corner built" in shell.pasted(build)


def test_too_little_to_retrieve(shell):
    (two,) = shell.suggested("stage=retrieval", *TOY, "dataset=one")
    assert {"policy=random", "episodes=2"} <= set(shlex.split(two))
    (all_of_them,) = shell.suggested("stage=retrieval", *SMALL, "episodes=1")
    assert "retrieval toy/corner" in shell.pasted(all_of_them)
    assert "2 episodes" in shell.pasted(two)
    (more,) = shell.suggested("stage=retrieval", *SMALL[:-2], "retrieval.demos=1", "retrieval.states=1")
    assert "retrieval.demos=2" in shlex.split(more)
    shell.pasted(more)


def test_the_command_in_a_manifest_makes_the_artifact_again(shell):
    words = (*TOY, "domain.max_steps=30", "dataset=again", "policy=random", "storage=bin", "episodes=1")
    shell.run("stage=[collect,retrieval]", *words, "workers=2", "retrieval.demos=1", status=1)
    (folder,) = shell.folder.glob("my data/artifacts/toy/corner/episodes/again-bin")
    made = json.loads((folder / "manifest.json").read_text())
    shutil.rmtree(folder)
    shell.paste(made["command"].replace("run.py", str(ROOT / "run.py")))
    assert json.loads((folder / "manifest.json").read_text())["digest"] == made["digest"]


def test_a_page_suggests_frames_with_the_simulator_of_its_dataset(shell):
    shell.run("stage=report", *TOY, "dataset=my-data_1", "storage=bin", "retrieval.demos=2")
    pages = shell.folder.glob("my data/artifacts/toy/corner/report/*/page/index.html")
    text = "\n".join(page.read_text() for page in pages).replace("&#39;", "'")
    line = next(line for line in text.split("python ") if "[frames,report]" in line).split("<")[0]
    assert "domain.max_steps=30" in shlex.split(line)
    assert "frames toy/corner built" in shell.pasted(f"python {line.strip()}".replace("run.py", str(ROOT / "run.py")))


def test_an_index_without_pages(shell):
    (there,) = shell.suggested("stage=report_index", "dataset=one")
    assert "my-data_1" in shell.pasted(there)
    (make,) = shell.suggested("stage=report_index", "domain=toy", "dataset=one")
    assert "report toy/corner built" in shell.pasted(make)


@pytest.fixture(scope="module")
def moving(filled, tmp_path_factory):
    """A shell beside a user's module, whose observations move with the variable JITTER, and what was made with it."""
    shell = filled.beside_a_copy(tmp_path_factory.mktemp("moving") / "a b")
    (shell.folder / "mine").mkdir()
    (shell.folder / "mine/jitter.py").write_text(MODULE)
    (again,) = shell.suggested("stage=[collect,retrieval,distances,bins,parquet]", *JITTER, "episodes=3")
    assert "parquet gym/jitter-v0 built" in shell.pasted(again, FOLDER="mine")
    return shell


@pytest.fixture
def jitter(moving, tmp_path):
    return moving.beside_a_copy(tmp_path / "moving")


def test_a_simulator_that_does_not_repeat_itself(jitter):
    words = shlex.join(["python", str(ROOT / "run.py"), "stage=frames", *JITTER, "paths.root=my data"])
    status, text = jitter.paste(f"export PYTHONPATH=mine JITTER=1; {words}")
    assert (status, "replays differently" in text) == (1, True)
    check = next(line for line in text.splitlines() if "files: " in line).partition("files: ")[2]
    assert "stage=verify" in check
    assert ": whole" in jitter.pasted(f"export PYTHONPATH=mine; {check}")


def test_a_page_without_pictures_because_the_simulator_does_not_repeat_itself(jitter):
    words = shlex.join(["python", str(ROOT / "run.py"), "stage=report", *JITTER, "paths.root=my data"])
    status, text = jitter.paste(f"export PYTHONPATH=mine JITTER=1; {words}")
    assert (status, "Pictures of it would be wrong" in text) == (0, True), text
    check = next(line for line in text.splitlines() if "files: " in line).partition("files: ")[2]
    check = check.replace("run.py", str(ROOT / "run.py"), 1)
    assert ": whole" in jitter.pasted(f"export PYTHONPATH=mine; {check}")


def test_a_number_that_cannot_be_compared(jitter):
    far = (*JITTER, "dataset=far", "paths.root=my data")
    for value, episodes in (("0", 2), ("inf", 3)):
        words = shlex.join(["python", str(ROOT / "run.py"), "stage=collect", *far, f"episodes={episodes}"])
        status, text = jitter.paste(f"export PYTHONPATH=mine JITTER={value}; {words}")
        assert status == 0, text
    words = shlex.join(["python", str(ROOT / "run.py"), "stage=retrieval", *far])
    status, text = jitter.paste(f"export PYTHONPATH=mine; {words}")
    assert (status, "at row 0 of episode 2" in text) == (1, True), text
    before = next(line for line in text.splitlines() if "episodes before it: " in line).partition("it: ")[2]
    status, text = jitter.paste(f"export PYTHONPATH=mine; {before}")
    assert (status, "retrieval gym/jitter-v0 built" in text) == (0, True), text


def test_a_card_fetches_an_environment_by_entry_point(jitter, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    with hub_server.serving(tmp_path / "hub") as hub:
        there = ("hub.repo_id=me/x", f"hub.endpoint={hub.url}")
        words = ["python", str(ROOT / "run.py"), "stage=publish", *JITTER, *there, "paths.root=my data"]
        status, text = jitter.paste(f"PYTHONPATH=mine {shlex.join(words)}")
        assert status == 0, text
        card = _card(tmp_path / "hub")
        (line,) = [line for line in card.splitlines() if line.startswith("python run.py")]
        assert "domain.env_id=Jitter-v0" in shlex.split(line)
        line = line.replace("run.py", str(ROOT / "run.py"))
        status, text = jitter.paste(f"{line} paths.root=elsewhere hub.endpoint={hub.url}")
        assert (status, "fetch gym/jitter-v0 built" in text) == (0, True), text


def _card(hub: Path) -> str:
    texts = (path.read_bytes() for path in hub.rglob("*") if path.is_file())
    return next(text.decode() for text in texts if b"What is in it" in text)
