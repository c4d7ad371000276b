"""LeRobotDataset v3.0 out, and back by its door."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode, with_last_row
from pipeline.errors import InvalidInput, UnknownName
from pipeline.formats.contract import CannotHold, Outgoing
from pipeline.formats.lerobot.format import LeRobotFormat
from tests.conftest import made_episode
from tests.contracts.format import FormatContract, Listed, exported, ingested, place_of

ENDS = [
    {"terminated": True, "end_reason": "terminated", "success": 1, "mission": "go left", "seed": 3},
    {"truncated": True, "end_reason": "time_limit", "success": 0},
    {"mission": "go left", "has_final_observation": False},
]


class TestLeRobot(FormatContract):
    resumes = True

    def format(self) -> LeRobotFormat:
        return LeRobotFormat(file_mb=0.002)


def seen(rng: np.random.Generator, length: int, **facts: Any) -> Episode:
    """An episode with a camera, a grey picture, channels first, and vectors."""
    steps = {
        "observation/camera": rng.integers(0, 256, (length + 1, 24, 32, 3), np.uint8),
        "observation/grey": rng.integers(0, 256, (length + 1, 20, 16), np.uint8),
        "observation/first": rng.integers(0, 256, (length + 1, 1, 17, 16), np.uint8),
        "observation/grid": rng.integers(0, 11, (length + 1, 7, 7, 3), np.uint8),
        "observation/state.image": rng.normal(size=(length + 1, 5)).astype(np.float32),
        "action": with_last_row("action", rng.integers(0, 4, length)),
        "reward": with_last_row("reward", rng.normal(size=length)),
        "discount": with_last_row("discount", np.ones(length)),
        "info/image_is_pad": with_last_row("info", rng.integers(2**63, 2**64 - 1, length, np.uint64)),
    }
    if not facts.get("has_final_observation", True):
        for name in [name for name in steps if name.startswith("observation")]:
            steps[name][-1] = 0
    return Episode(steps=steps, **facts)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three episodes of `toy/corner` with pictures, which end in all ways."""
    store = Workspace(str(tmp_path_factory.mktemp("store")), "bin")
    rng = np.random.default_rng(3)
    ingested(Listed([seen(rng, 4 + number, **facts) for number, facts in enumerate(ENDS)]), store)
    return store


@pytest.fixture(scope="module")
def export(store: Workspace) -> Path:
    return place_of(exported(LeRobotFormat(), store))


def digests(format: LeRobotFormat, artifact: Artifact, task: str = "corner") -> list[bytes]:
    return [episode.digest() for episode in format.source(place_of(artifact)).episodes("toy", task)]


def test_the_columns_have_the_names_that_lerobot_knows(export: Path):
    features = json.loads((export / "meta/info.json").read_text())["features"]
    assert {name: (feature["dtype"], feature["shape"]) for name, feature in features.items()} == {
        "action": ("int64", [1]),
        "info.img_pad": ("uint32", [2]),
        "observation.images.camera": ("image", [24, 32, 3]),
        "observation.images.first": ("image", [17, 16, 1]),
        "observation.images.grey": ("image", [20, 16, 1]),
        "observation.grid": ("uint8", [147]),
        "observation.state": ("float32", [5]),
        **dict.fromkeys(("next.reward", "next.discount"), ("float64", [1])),
        **dict.fromkeys(("next.terminated", "next.truncated", "next.done", "next.success"), ("bool", [1])),
        "timestamp": ("float32", [1]),
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), ("int64", [1])),
    }


def test_rows_are_t_and_the_last_observation_lies_beside(store: Workspace, export: Path):
    rows = pq.read_table(export / "data/chunk-000/file-000.parquet")
    last = pq.read_table(export / "final/chunk-000/file-000.parquet")
    episodes = list(EpisodeDataset.of(store.dataset("toy", "corner", "listed-v1")))
    assert len(rows) == sum(episode.length for episode in episodes)
    assert rows["frame_index"].to_pylist() == [row for episode in episodes for row in range(episode.length)]
    assert last["episode_index"].to_pylist() == [0, 1]
    for table, row, expected in ((rows, 5, episodes[1].steps), (last, 1, None)):
        picture = np.asarray(Image.open(io.BytesIO(table["observation.images.camera"][row].as_py()["bytes"])))
        at = 1 if expected is not None else -1
        np.testing.assert_array_equal(picture, episodes[1].steps["observation/camera"][at])
    ends = [3, 8, 14]
    for name, wanted in (("next.done", ends), ("next.terminated", [3]), ("next.truncated", [8]), ("next.success", [3])):
        assert np.flatnonzero(rows[name].to_numpy()).tolist() == wanted
    assert rows["next.reward"].to_pylist() == [each for e in episodes for each in e.steps["reward"][:-1].tolist()]


def test_the_table_of_episodes_says_what_lerobot_has_no_column_for(export: Path):
    lines = pq.read_table(export / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [line["tasks"] for line in lines] == [["go left"], ["toy/corner"], ["go left"]]
    assert [(line["dataset_from_index"], line["dataset_to_index"]) for line in lines] == [(0, 4), (4, 9), (9, 15)]
    assert [line["success"] for line in lines] == [1, 0, -1]
    assert [line["has_final_observation"] for line in lines] == [True, True, False]
    assert {line["env"] for line in lines} == {"toy/corner"}
    assert lines[0]["seed"] == 3


def test_pandas_finds_the_texts_of_tasks_as_the_index(export: Path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(export / "meta/tasks.parquet")
    assert frame.index.name == "task"
    assert frame.index.tolist() == ["go left", "toy/corner"]
    assert frame["task_index"].tolist() == [0, 1]


def test_statistics_are_those_of_all_rows(store: Workspace, export: Path):
    stats = json.loads((export / "meta/stats.json").read_text())
    dataset = EpisodeDataset.of(store.dataset("toy", "corner", "listed-v1"))
    for column, name, scale in (
        ("observation.state", "observation/state.image", 1),
        ("observation.images.camera", "observation/camera", 255),
    ):
        rows = dataset.state_rows(name, 0, dataset.states).astype(np.float64) / scale
        rows = np.moveaxis(rows.reshape(-1, 5), 1, 0) if scale == 1 else rows.reshape(-1, 3).T
        found = {key: np.ravel(value) for key, value in stats[column].items()}
        np.testing.assert_array_equal(found["min"], rows.min(1))
        np.testing.assert_array_equal(found["max"], rows.max(1))
        np.testing.assert_allclose(found["mean"], rows.mean(1), rtol=1e-6)
        np.testing.assert_allclose(found["std"], rows.std(1), rtol=1e-6)
        for share in (1, 10, 50, 90, 99):
            np.testing.assert_allclose(found[f"q{share:02d}"], np.quantile(rows, share / 100, axis=1), rtol=1e-6)
        assert found["count"].tolist() == [dataset.states]
    assert np.shape(stats["observation.images.grey"]["std"]) == (1, 1, 1)


def test_plain_datasets_reads_pictures_and_the_last_rows(export: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    table = datasets.load_dataset(str(export), split="train", cache_dir=str(tmp_path))
    assert len(table) == 15
    assert table[0]["observation.images.camera"].size == (32, 24)
    assert len(table[0]["observation.state"]) == 5
    assert len(datasets.load_dataset(str(export), "final", split="train", cache_dir=str(tmp_path))) == 2


@pytest.mark.parametrize("settings", [{"last_row": "row"}, {"rgb": True}, {"images": "none"}, {"images": ["grey"]}])
def test_every_choice_but_drop_is_lossless(store: Workspace, settings: dict[str, Any]):
    format = LeRobotFormat(**settings)
    dataset = EpisodeDataset.of(store.dataset("toy", "corner", "listed-v1"))
    assert digests(format, exported(format, store)) == [episode.digest() for episode in dataset]


def test_last_rows_are_dropped_where_that_is_wanted(store: Workspace):
    format = LeRobotFormat(last_row="drop")
    artifact = exported(format, store)
    assert artifact.manifest.facts["lost"] == ["final observation: dropped"]
    assert not (place_of(artifact) / "final").exists()
    dataset = EpisodeDataset.of(store.dataset("toy", "corner", "listed-v1"))
    held = format.held(Outgoing("toy", "corner", dataset, {}))
    assert digests(format, artifact) == [held(episode).digest() for episode in dataset]


def test_one_set_holds_several_tasks_with_the_infos_of_each(tmp_path: Path):
    store, rng = Workspace(str(tmp_path), "bin"), np.random.default_rng(0)
    corner, maze = ([made_episode(rng, 2 + number) for number in range(3)] for _ in range(2))
    info = {"info/x": with_last_row("x", np.arange(2.0))}
    maze[0] = replace(maze[0], steps={**maze[0].steps, **info})
    for task, episodes in (("corner", corner), ("maze", maze)):
        ingested(Listed(episodes), store, task=task)
    format = LeRobotFormat()
    artifact = exported(format, store, task=["corner", "maze"])
    for task, episodes in (("corner", corner), ("maze", maze)):
        assert digests(format, artifact, task) == [episode.digest() for episode in episodes]
    assert [each["task"] for each in format.source(place_of(artifact)).identity("toy", "maze")["made_from"]] == [
        "corner",
        "maze",
    ]
    with pytest.raises(UnknownName, match=r"key.*corner, maze"):
        format.source(place_of(artifact)).identity("toy", "key")


def test_tasks_with_other_arrays_are_no_one_set(tmp_path: Path):
    store, rng = Workspace(str(tmp_path), "bin"), np.random.default_rng(0)
    for task, width in (("corner", 3), ("maze", 4)):
        ingested(Listed([made_episode(rng, 3, width=width)]), store, task=task)
    with pytest.raises(
        CannotHold, match=r"(?s)observation float64\[3\].*observation float64\[4\].*task=corner.*task=maze"
    ):
        exported(LeRobotFormat(), store, task=["corner", "maze"])


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"fps": 0}, "format.fps=0"),
        ({"images": "all"}, "format.images"),
        ({"images": ["grid2"]}, "grid2"),
        ({"images": ["state.image"]}, r"float32\[5\]"),
        ({"last_row": "none"}, "format.last_row"),
        ({"file_mb": 0}, "format.file_mb"),
        ({"rgb": "as_is"}, "format.rgb"),
    ],
)
def test_settings_that_do_not_fit_are_named(store: Workspace, settings: dict[str, Any], wanted: str):
    with pytest.raises(InvalidInput, match=wanted):
        exported(LeRobotFormat(**settings), store)
