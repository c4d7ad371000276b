"""bench_loading: every reader reads the very rows, and what was measured is kept and shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact, InvalidInput, UnknownName
from pipeline.report.loading import busy_words
from pipeline.views.bench.data import COPIES, FIELDS, READERS, LeftOut, LoadingData, leading, room_for_copies
from pipeline.views.bench.measuring import PlaceFeed, ViewFeed, measured
from pipeline.views.bench.readers import Draws
from pipeline.views.bench.training import Trainer
from stages import bench_loading, select, verify
from tests.conftest import collected, toy_domain
from tests.pages import html_of, text_of

LENGTH = 4
IN_PROCESS = ["view", "memmap", "zarr-python", "tensorstore", "hdf5"]
SETTINGS = {
    "dataset": "scripted-v1", "episodes": None, "length": LENGTH, "batch_size": 8, "workers": [0], "cold": True,
    "train": True, "seconds": 0.01, "megabytes": 1, "small_megabytes": 0.003, "only": IN_PROCESS,
}  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with twenty episodes of the toy, in zarr."""
    root = tmp_path_factory.mktemp("stored")
    collected(toy_domain(), Workspace(str(root)))
    return root


@pytest.fixture
def root(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "outputs"))


def benched(root: Path, **asked: object) -> Artifact:
    settings = SETTINGS | asked
    return bench_loading.run(domain=toy_domain(), task="corner", workspace=Workspace(str(root)), **settings)  # type: ignore[arg-type]


def share(root: Path, work: Path, name: str = "scripted-v1") -> LoadingData:
    work.mkdir()
    artifact = Workspace(str(root)).dataset("toy", "corner", name, 6)
    return LoadingData(artifact, toy_domain(), Workspace(str(root)), LENGTH, work)


def feeds(shared: LoadingData, *wanted: str) -> list[ViewFeed | PlaceFeed | LeftOut]:
    return [make() for make in shared.feeds(wanted, 6)]


def test_a_place_is_the_window_that_begins_there():
    draws = Draws(np.array([5, 2, 4]), 3)
    episodes, starts = draws.at(np.arange(len(draws)))
    assert list(zip(episodes.tolist(), starts.tolist(), strict=True)) == [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]


@pytest.mark.parametrize("derived", [False, True], ids=["own", "derived"])
def test_every_reader_gives_the_rows_of_the_episodes(root: Path, tmp_path: Path, derived: bool):
    name = "scripted-v1"
    if derived:
        select.run(
            domain=toy_domain(), task="corner", workspace=Workspace(str(root)), dataset="some-v1", of=name,
            where="episode > 3", episodes=None, force=False,
        )  # fmt: skip
        name = "some-v1"
    shared = share(root, tmp_path / "work", name)
    episodes = list(EpisodeDataset.of(shared.artifact))
    asked = np.array([3, 0, 5, 3]), np.array([0, 2, 1, 1])
    theirs = {"states": "observation", "actions": "action", "rewards": "reward"}
    found = [feed for feed in feeds(shared, *IN_PROCESS[1:]) if isinstance(feed, PlaceFeed)]
    assert [feed.name for feed in found] == IN_PROCESS[1:]
    for feed in found:
        batch = feed.make().read(*asked)
        assert {theirs.get(name, name) for name in batch} == set(FIELDS)
        for name, array in batch.items():
            rows = [episodes[e].steps[theirs.get(name, name)][s : s + LENGTH] for e, s in zip(*asked, strict=True)]
            np.testing.assert_array_equal(array, np.stack(rows).astype(array.dtype), err_msg=f"{feed.name}, {name}")


@pytest.mark.slow
def test_a_run_prints_a_table_keeps_the_figures_and_removes_its_copies(root: Path, capsys: pytest.CaptureFixture):
    before = {path.name for path in root.iterdir()}
    artifact = benched(root, only=[*IN_PROCESS, "minari"])
    figures = json.loads((artifact.path / "figures.json").read_text())
    rows = [(row["name"], row["cache"]) for row in figures["rows"]]
    warm = ["view, bin", "view, zarr", *IN_PROCESS[1:]]
    assert [name for name, cache in rows if cache == "warm"] == warm
    kept = [name.removesuffix(", cold") for name, _ in figures["left_out"] if name.endswith(", cold")]
    assert sorted([*kept, *(name for name, cache in rows if cache == "cold")]) == sorted(warm)
    assert all(row["windows"] > 0 and row["stored"] > 0 for row in figures["rows"])
    assert all(0 <= row["waiting"] <= 1 for row in figures["rows"] if row["cache"] == "warm")
    assert {row["nbytes"] for row in figures["rows"] if row["name"] == "memmap"} == {LENGTH * (9 * 4 + 2 * 4 + 8)}
    assert figures["step_seconds"] > 0
    printed, page = capsys.readouterr().out, text_of(html_of(artifact))
    for words in ("our view, zarr", "a loop over memory maps, bin", "episodes were copied to bin for this"):
        assert words in printed
        assert words in page
    assert {path.name for path in root.iterdir()} == before
    assert sorted(path.name for path in artifact.path.parent.iterdir()) == [artifact.path.name]
    verify.run(domain=toy_domain(), only="corner", workspace=Workspace(str(root)), audit=None, workers=1)


@pytest.mark.parametrize(("load", "found"), [(1.0, []), (7.36, ["load 7.4 on 2 cores"])])
def test_a_busy_machine_is_said_to_be_busy(load: float, found: list[str]):
    said = busy_words(load, 2)
    assert len(said) == len(found)
    assert all(words in sentence for words, sentence in zip(found, said, strict=True))


def test_every_run_measures_anew(root: Path):
    quick = {"only": ["memmap"], "cold": False, "train": False}
    assert benched(root, **quick).path != benched(root, **quick).path


def test_what_fails_leaves_no_copies(root: Path):
    """An array that is damaged: it is read after the copy was made."""
    before = {path.name for path in root.iterdir()}
    (array,) = root.glob("artifacts/toy/corner/episodes/scripted-v1/parts/*/steps/action")
    for chunk in [path for path in array.rglob("*") if path.is_file() and path.name != "zarr.json"]:
        chunk.write_bytes(b"\0" * chunk.stat().st_size)
    with pytest.raises(DamagedArtifact, match="action"):
        benched(root, only=["view"])
    assert {path.name for path in root.iterdir()} == before


def test_copies_of_a_run_that_was_killed_are_removed_and_those_of_one_that_runs_are_not(tmp_path: Path):
    left = tmp_path / f"{COPIES}left"
    left.mkdir()
    (left / "array.bin").write_bytes(b"0")
    with room_for_copies(tmp_path) as first:
        assert not left.exists()
        with room_for_copies(tmp_path) as second:
            assert first.is_dir()
            assert first != second
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_is_not_installed_says_how_to_install_it(root: Path, tmp_path: Path):
    found = feeds(share(root, tmp_path / "work"), "minari", "lerobot", "d4rl")
    for feed in found:
        assert isinstance(feed, PlaceFeed) or "pip install" in feed.why


def test_the_first_episodes_hold_the_megabytes_and_at_least_one_window(root: Path):
    dataset = EpisodeDataset.of(Workspace(str(root)).dataset("toy", "corner", "scripted-v1"))
    row = 9 * 4 + 2 * 4 + 8
    some = leading(dataset, 0.003, LENGTH)
    assert dataset.state_ends[some - 1] * row >= 3000 > dataset.state_ends[some - 2] * row
    longest = int(dataset.lengths.max())
    assert dataset.lengths[leading(dataset, 0, longest) - 1] == longest
    assert leading(dataset, 1e9, LENGTH) == len(dataset)


def test_a_worker_process_reads_too(root: Path, tmp_path: Path):
    (feed,) = feeds(share(root, tmp_path / "work"), "memmap")
    assert not isinstance(feed, LeftOut)
    row = measured(feed, 8, workers=1, seconds=0.01)
    assert row.windows > 0
    assert row.workers == 1


@pytest.mark.parametrize("shape", [(3,), (40, 40), (1, 40, 48), (40, 48, 3)], ids=str)
@pytest.mark.parametrize("action", [np.zeros((6, 5), np.int64), np.zeros((6, 5, 2), np.float32)], ids=["one", "two"])
def test_the_network_takes_pictures_and_vectors(shape: tuple[int, ...], action: np.ndarray):
    rng = np.random.default_rng(0)
    batch = {"observation": rng.integers(0, 255, (6, 5, *shape), np.uint8), "action": action}
    trainer = Trainer(batch)
    assert trainer.seconds(batch, 1) > 0
    assert 0 <= trainer.waiting(iter([batch] * 10_000), 0.005, 1) < 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"length": 0}, "length=0"),
        ({"workers": []}, r"\[0,1\]"),
        ({"length": 10_000}, "No episode"),
    ],
)
def test_settings_with_which_nothing_can_be_measured_are_refused(root: Path, asked: dict[str, object], words: str):
    with pytest.raises(InvalidInput, match=words):
        benched(root, **asked)


def test_an_unknown_reader_is_answered_with_the_known_ones(root: Path):
    with pytest.raises(UnknownName, match=READERS[1]):
        benched(root, only=["memap"])
