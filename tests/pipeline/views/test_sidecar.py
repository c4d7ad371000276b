"""Short rows that are mapped into memory are those of the parts, whoever fills them and whatever stops it."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.beside import ROWS, hidden_beside
from pipeline.dataset.index import DatasetIndex
from pipeline.dataset.indexing import opened_index
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact
from pipeline.views import block_file, sidecar
from pipeline.views.rows import RowReader
from pipeline.views.sidecar import MappedArray, SmallRows
from tests.conftest import collected
from tests.damage import flip_bit

NAME = "toy/corner/scripted-v1"


def plain_returns(rewards, discount):
    sums, later = [], 0.0
    for reward in rewards[::-1].tolist():
        later = reward + discount * later
        sums.append(later)
    return sums[::-1]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks end within episodes, and episodes within blocks."""
    monkeypatch.setattr(sidecar, "BLOCK_ROWS", 16)


@pytest.fixture
def owner(made) -> DatasetIndex:
    return index_of_made(made[1])


def index_of_made(workspace: Workspace) -> DatasetIndex:
    return opened_index(workspace.folder_of(NAME))


def wanted(workspace: Workspace, name: str) -> np.ndarray:
    return np.concatenate([episode.steps[name] for episode in workspace[NAME]])


def read(index: DatasetIndex, name: str, seed: int = 0) -> np.ndarray:
    """All rows of an array, in runs of a random order."""
    file = SmallRows(index).of(name, index.spec(name))
    rows = index.rows
    out = np.full((rows, *index.spec(name).shape), 77, index.spec(name).dtype)
    rng = np.random.default_rng(seed)
    edges = np.unique(np.concatenate([[0, rows], rng.integers(0, rows, 30)]))
    runs = rng.permutation(len(edges) - 1)
    for some in np.array_split(runs, 4):
        file.read(edges[some], np.diff(edges)[some], out, edges[some])
    return out


def files_of(workspace: Workspace, name: str) -> list[Path]:
    return list(hidden_beside(workspace.folder_of(NAME), ROWS).glob(f"{name}-*.rows"))


@pytest.mark.parametrize("name", ["action", "reward", "observation"])
def test_rows_are_those_of_the_parts(made, owner, name):
    for seed in range(2):  # the second finds them on disk
        np.testing.assert_array_equal(read(owner, name, seed), wanted(made[1], name))
    assert len(files_of(made[1], name)) == 1


def test_a_reader_of_any_dataset_reads_the_same(made):
    workspace = made[1]
    parent = workspace[NAME]
    numbers = np.array([7, 8, 3, 19, 0])
    child = derive(workspace, derived_spec("some-v1", "select", {}, [parent]), [parent], References.of_one(numbers))
    for dataset in (parent, workspace[f"toy/corner/{child.manifest.version}"]):
        reader = pickle.loads(pickle.dumps(RowReader(dataset)))
        counts = dataset.lengths
        at = np.cumsum(counts) - counts
        episodes = np.arange(len(dataset))
        out, to_go = np.zeros(counts.sum(), np.float32), np.zeros(counts.sum())
        reader.read("reward", episodes, np.zeros_like(episodes), counts, out, at)
        reader.read_returns(0.9, episodes, np.zeros_like(episodes), counts, to_go, at)
        rewards = [episode.steps["reward"][:-1] for episode in dataset]
        np.testing.assert_array_equal(out, np.concatenate(rewards).astype(np.float32))
        np.testing.assert_array_equal(to_go, np.concatenate([plain_returns(each, 0.9) for each in rewards]))


@pytest.mark.parametrize("place", [0.0, 0.0003, 0.00099, 0.99999])
def test_what_is_not_right_is_filled_again(made, owner, place):
    read(owner, "action")
    flip_bit(files_of(made[1], "action")[0], place)
    np.testing.assert_array_equal(read(owner, "action"), wanted(made[1], "action"))


def test_rows_of_a_dataset_that_grows_are_kept_and_those_of_another_are_not(made, owner):
    toy, workspace = made
    before = SmallRows(owner)
    read(owner, "action")
    collected(toy, workspace, episodes=22)
    grown = index_of_made(workspace)
    np.testing.assert_array_equal(read(grown, "action"), wanted(workspace, "action"))
    held_rows = wanted(workspace, "action")[: owner.rows].copy()
    held = before.of("action", owner.spec("action")).between(0, owner.rows)
    shutil.rmtree(owner.folder)
    collected(toy, workspace, seed=5)
    np.testing.assert_array_equal(read(index_of_made(workspace), "action"), wanted(workspace, "action"))
    np.testing.assert_array_equal(held, held_rows)  # nobody wrote into what is mapped


def in_child(work: Callable[[], bool]) -> int:
    """Begin the work in a forked process; its process id. It ends with 0 where the work gives True."""
    if not (child := os.fork()):
        code = 1
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """The exit code of a child, or the signal that killed it, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying(left: int) -> Callable[..., None]:
    """As `block_file._write`, which dies in the middle of the write number `left`."""
    write, writes = block_file._write, iter(range(1, left + 1))

    def write_or_die(file: int, data: bytes, place: int) -> None:
        if next(writes) == left:
            write(file, data[: len(data) // 2], place)
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, data, place)

    return write_or_die


@pytest.mark.parametrize("left", [3, 4])  # within the rows of the second block, and within its record
def test_a_kill_while_a_block_is_written_leaves_nothing_wrong(made, owner, monkeypatch, left):
    with monkeypatch.context() as patch:
        patch.setattr(block_file, "_write", dying(left))
        assert ended(in_child(lambda: bool(read(owner, "action").all()))) == -signal.SIGKILL
    np.testing.assert_array_equal(read(owner, "action"), wanted(made[1], "action"))


def test_processes_may_fill_the_same_blocks_at_once(made, owner):
    action = wanted(made[1], "action")
    children = [in_child(lambda seed=seed: bool((read(owner, "action", seed) == action).all())) for seed in range(3)]
    assert [ended(child) for child in children] == [0, 0, 0]
    np.testing.assert_array_equal(read(owner, "action"), action)


def test_a_full_disk_and_a_folder_that_can_only_be_read_are_gone_around(made, owner, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    action = wanted(made[1], "action")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(block_file.BlockFile, "fill", full)
        np.testing.assert_array_equal(read(owner, "action"), action)
    assert "cannot be kept on disk" in caplog.text
    shutil.rmtree(hidden_beside(owner.folder, ROWS))
    hidden_beside(owner.folder, ROWS).write_text("no folder can be made here")
    np.testing.assert_array_equal(read(owner, "action"), action)
    assert list(tmp_path.glob("repertoire-*/*.rows/action-*.rows"))


def test_threads_that_read_while_the_disk_becomes_full_get_the_rows_all_the_same(made, owner, monkeypatch):
    action = wanted(made[1], "action")
    fill, filled = block_file.BlockFile.fill, []

    def full_after_two(self: block_file.BlockFile, *what: object) -> None:
        filled.append(what)
        if len(filled) > 2:
            raise OSError(28, "No space left on device")
        fill(self, *what)

    monkeypatch.setattr(block_file.BlockFile, "fill", full_after_two)
    rows = SmallRows(owner).of("action", owner.spec("action"))
    read_all = partial(read_rows, rows, action)
    with ThreadPoolExecutor(4) as threads:
        for out in threads.map(read_all, range(8)):
            np.testing.assert_array_equal(out, action)


def read_rows(rows: MappedArray, like: np.ndarray, seed: int) -> np.ndarray:
    """All rows, in an order that a seed decides, a few at a time."""
    out = np.zeros_like(like)
    for some in np.array_split(np.random.default_rng(seed).permutation(len(like)), 20):
        rows.read(some, np.ones(len(some), np.int64), out, some)
    return out


def test_decoded_rows_keep_no_file_open_and_one_that_was_replaced_is_left(made, owner):
    action = wanted(made[1], "action")
    before = len(list(Path("/proc/self/fd").iterdir()))
    rows = [SmallRows(owner).of("action", owner.spec("action")) for _ in range(20)]
    np.testing.assert_array_equal(rows[0].between(0, 40), action[:40])
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    shutil.rmtree(hidden_beside(owner.folder, ROWS))
    np.testing.assert_array_equal(read(owner, "action"), action)  # another file of that name
    for each in rows[:2]:
        np.testing.assert_array_equal(each.between(0, len(action)), action)


def test_damage_of_a_part_is_told_before_its_rows_are_kept(made, owner):
    files = [path for path in (owner.folder / "parts").rglob("*") if path.is_file() and "action" in str(path)]
    for path in files:
        flip_bit(path)
    with pytest.raises(DamagedArtifact, match=r"is damaged: parts/\S+action"):
        read(owner, "action")
