"""Every command that a message tells is pasted into a shell, and it works."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import Workspace
from pipeline.command import Typed, user_typed
from pipeline.errors import DamagedArtifact
from pipeline.views.stored_rows import StoredRows
from tests.damage import flip_bit

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
COMMAND = re.compile(r"((?:rm -r .*? && )?python \S*run\.py .*?)\s*$", re.MULTILINE)
TOY = ("domain=toy", "domain.max_steps=30", "task=corner", "dataset=my-data_1", "workers=1")
RANDOM = ("policy=random", "seed=3")
POLE = ("domain=gym", "domain.env_id=CartPole-v1", "+domain.env_kwargs={sutton_barto_reward: true}")
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


class Shell:
    """A user's shell in some folder that is not the project's, with artifacts below a relative path with a space."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paste(self, line: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, cwd=self.folder, env=ENVIRONMENT, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def run(self, *words: str, status: int = 0) -> str:
        found, text = self.paste(shlex.join(["python", str(ROOT / "run.py"), *words, "paths.root=my data"]))
        assert found == status, text
        return text

    def told(self, *words: str, status: int = 1) -> list[str]:
        return COMMAND.findall(self.run(*words, status=status))

    def pasted(self, line: str) -> str:
        assert "paths.root=my data" in shlex.split(line)
        status, text = self.paste(line)
        assert status == 0, f"{line}\n{text}"
        return text


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    """A folder with two episodes of a random policy."""
    shell = Shell(tmp_path_factory.mktemp("a b"))
    shell.run("stage=collect", *TOY, *RANDOM, "episodes=2", "storage=bin")
    return shell.folder


@pytest.fixture
def filled(episodes, tmp_path):
    """Beside a copy of them, for one test alone."""
    return Shell(shutil.copytree(episodes, tmp_path / "a b"))


@pytest.fixture
def empty(tmp_path):
    return Shell(tmp_path)


def test_a_missing_dataset_of_an_environment_with_arguments(empty):
    words = ("task=cartpole-v1", "dataset=my-data_1", "policy=random", "episodes=2", "storage=bin", "seed=5")
    make, build = empty.told("stage=retrieval", *POLE, *words, "retrieval.demos=2")
    assert {"stage=collect", "seed=5", "policy=random", "storage=bin", "dataset=my-data_1"} <= set(shlex.split(make))
    assert "collect gym/cartpole-v1 built" in empty.pasted(make)
    assert "retrieval gym/cartpole-v1 built" in empty.pasted(build)


def test_a_missing_input_of_the_chain(filled):
    make, _ = filled.told("stage=distances", *TOY, "retrieval.demos=2", "storage=bin")
    assert {"retrieval.demos=2", "storage=bin", "dataset=my-data_1"} <= set(shlex.split(make))
    assert "workers=1" not in make
    assert "retrieval toy/corner built" in filled.pasted(make)


def test_too_few_episodes_are_made_more_with_the_policy_and_seed_that_made_them(filled):
    make, _ = filled.told("stage=embeddings", *TOY, "episodes=3", "storage=bin")
    assert {"policy=random", "seed=3", "episodes=3"} <= set(shlex.split(make))
    assert "3 episodes" in filled.pasted(make)


def test_other_settings_under_the_same_name(filled):
    (other,) = filled.told("stage=collect", *TOY, "policy=random", "seed=4", "episodes=1")
    assert "dataset=my-data_1-v2" in shlex.split(other)
    assert "collect toy/corner built" in filled.pasted(other)


def test_a_misspelt_task_and_a_misspelt_way(filled):
    (meant,) = filled.told("stage=collect", *TOY, *RANDOM, "task=[corner,mazze]", "episodes=1")
    assert "task=[corner,maze]" in shlex.split(meant)
    filled.pasted(meant)
    (meant,) = filled.told("stage=collect", *TOY, *RANDOM, "episodes=1", "inputs=bild")
    assert "inputs=build" in shlex.split(meant)


def test_damage_is_removed_and_made_again(filled):
    frames = filled.run("stage=frames", *TOY, "episodes=1")
    path = Path(re.search(r"frames toy/corner built (.*) \(", frames)[1])
    max(path.rglob("*"), key=lambda each: each.stat().st_size if each.is_file() else 0).write_bytes(b"torn")
    again = next(line for line in filled.told("stage=verify", "domain=toy") if "stage=frames" in line)
    assert again.startswith("rm -r ")
    assert "frames toy/corner built" in filled.pasted(again)
    filled.run("stage=verify", "domain=toy")


def test_a_chunk_that_is_damaged_while_a_view_reads_it(filled):
    filled.run("stage=collect", *TOY, *RANDOM, "episodes=2", "storage=zarr")
    index = Workspace(filled.folder / "my data")["toy/corner/my-data_1"].index
    rows, one = StoredRows(index, "observation", index.spec("observation")), np.array([1])
    out = np.zeros((2, *index.spec("observation").shape), index.spec("observation").dtype)
    rows.read(one, one, out, one)
    flip_bit(next(index.part_folder(0).glob("steps/observation/c*")))
    with (
        user_typed(Typed(("paths.root=my data",), str(ROOT / "run.py"))),
        pytest.raises(DamagedArtifact, match="do not give their checksum") as damage,
    ):
        rows.read(one, one, out, one)
    assert "collect toy/corner built" in filled.pasted(damage.value.remake)


def test_an_audit_with_other_settings(filled):
    lines = filled.told("stage=verify", "domain=toy", "stage.verify.audit=replay")
    assert all("domain.max_steps=30" in shlex.split(line) for line in lines)
    assert "replay exactly" in filled.pasted(lines[0])


def test_garbage_goes_and_an_empty_place_is_begun(filled, empty):
    (filled.folder / "my data/artifacts/toy/corner/episodes/.stale-x").mkdir()
    (gc,) = filled.told("stage=gc", "domain=toy", status=0)
    assert "removed" in filled.pasted(gc)
    (begin,) = empty.told("stage=catalog", "domain=toy", status=0)
    empty.pasted(f"{begin} episodes=1")


def test_a_stage_without_a_domain_and_a_command_without_a_stage(filled):
    (with_domain,) = filled.told("stage=plan")
    filled.pasted(with_domain)
    (begin,) = filled.told("domain=toy", "task=maze", *RANDOM, "episodes=1", "dataset=other")
    filled.pasted(begin)


def test_a_page_tells_how_to_make_what_it_lacks(filled):
    filled.run("stage=report", *TOY, "retrieval.demos=2", "storage=bin", "dataset=my-data_1")
    (page,) = filled.folder.glob("my data/artifacts/toy/*/report/*/page/index.html")
    lines = [line for line in re.findall(r"python run\.py [^<]*", page.read_text()) if ",report]" in line]
    assert lines
    assert str(filled.folder) not in page.read_text()
    text = lines[0].replace("&#39;", "'").replace("&#x27;", "'").strip()
    filled.pasted(text.replace("run.py", str(ROOT / "run.py"), 1))


def test_no_message_writes_a_command_by_hand():
    """Commands come from pipeline.command, which knows what was typed."""
    by_hand = []
    for path in [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                by_hand += [f"{path}:{node.lineno}"] if re.search("python run.py(?! -)", node.value) else []
    assert by_hand == []
