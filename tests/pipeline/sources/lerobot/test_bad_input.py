"""Sets that cannot be read: what is wrong, where, and what to do next."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.errors import PipelineError
from pipeline.formats.lerobot.format import LeRobotFormat
from pipeline.sources.lerobot.source import LeRobotSource
from tests.conftest import made_episode
from tests.contracts.format import Listed, exported, ingested, place_of
from tests.lerobot_files import LeRobotFiles

ROWS, TABLE = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"


def read(folder: Path, **settings: Any) -> None:
    source = LeRobotSource(str(folder), **settings)
    source.identity("toy", "corner")
    for episode in source.episodes("toy", "corner"):
        episode.digest()


def version(number: Any) -> Callable[[LeRobotFiles], object]:
    return lambda files: files.info.update(codebase_version=number)


def moved(files: LeRobotFiles) -> None:
    files.columns["index"] = files.columns["index"][::-1]


def emptied(files: LeRobotFiles) -> None:
    files.columns["action"] = [*files.columns["action"][:-1], None]


def without(name: str) -> Callable[[LeRobotFiles], object]:
    return lambda files: files.columns.pop(name)


CHANGES: list[tuple[Callable[[LeRobotFiles], object], str]] = [
    (version("v2.1"), r"v2.1.*convert_dataset_v21_to_v30 --repo-id=\S+ --root="),
    (version("v4.0"), "should be v3.0, it is 'v4.0'"),
    (version(7), "it is 7"),
    (lambda files: files.info.update(fps=0), "fps should be a number above 0"),
    (lambda files: files.info.update(total_frames=9), "total_frames is 9.*lists 7"),
    (lambda files: files.info.update(data_path="../{chunk_index}"), "leads out of the folder"),
    (lambda files: files.info.update(data_path="{chunk_index.__class__}"), "should be made of"),
    (lambda files: files.info.update(data_path="data/{file_index}.parquet"), "data/0.parquet is not there"),
    (lambda files: files.info.update(features=3), "features should be an object"),
    (lambda files: files.features["action"].update(shape=[-1]), "'action' should have a dtype and a shape"),
    (lambda files: files.features["action"].update(shape=[3]), "episode 0: action should hold 3 numbers"),
    (lambda files: files.features["action"].update(dtype="int8"), "action should hold int8.*float32 in it"),
    (lambda files: files.features.pop("action"), "no feature named action"),
    (lambda files: files.features.pop("index"), "features index of every LeRobotDataset are missing"),
    (lambda files: files.features.pop("observation.state"), "no feature whose name begins with observation"),
    (without("action"), "has no column action.*It has observation.state"),
    (moved, "index should be 0 at row 0, frame 0 of episode 0.*it is 6"),
    (emptied, "episode 1: action has no value in 1 rows"),
    (lambda files: files.facts.update(length=[3, 5]), "dataset_to_index of row 1 should be 8, it is 7"),
    (lambda files: files.facts.update(episode_index=[1, 0]), "episode_index of row 0 should be 0"),
    (lambda files: files.facts.pop("length"), "needs the column length"),
    (lambda files: files.facts.update({"data/file_index": [0, 1]}), "file-001.parquet is not there"),
    (lambda files: files.tasks.pop(), "task_index 1 has no text"),
    (lambda files: files.columns["next.reward"].__setitem__(1, np.nan), "episode 0: reward holds NaN.* at step 1"),
]


@pytest.mark.parametrize(("change", "wanted"), CHANGES)
def test_what_is_wrong_is_named(tmp_path: Path, change: Callable[[LeRobotFiles], object], wanted: str):
    files = LeRobotFiles([3, 4], picture=None)
    change(files)
    with pytest.raises(PipelineError, match=wanted):
        read(files.write(tmp_path))


def fewer_rows(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / ROWS).slice(0, 5), folder / ROWS)


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-30])


FILES: list[tuple[Callable[[Path], object], str]] = [
    (fewer_rows, "holds 5 rows.*says 7, of the episodes 0 to 1"),
    (lambda folder: shutil.copy(folder / ROWS, folder / "data/chunk-000/file-001.parquet"), "rows of no episode"),
    (lambda folder: (folder / ROWS).unlink(), "file-000.parquet is not there"),
    (lambda folder: (folder / TABLE).unlink(), "no table of episodes"),
    (lambda folder: (folder / "meta/tasks.parquet").unlink(), "tasks.parquet is not there"),
    (lambda folder: (folder / "meta/info.json").write_text("{"), "cannot be read as JSON"),
    (lambda folder: (folder / "meta/info.json").unlink(), "has no meta/info.json"),
    (cut(ROWS), "cannot be read as a parquet file"),
    (cut(TABLE), "cannot be read as a parquet file"),
    (lambda folder: (folder / "meta/repertoire.json").write_text('{"format": 9}'), "cannot be understood"),
]


@pytest.mark.parametrize(("change", "wanted"), FILES)
def test_a_damaged_folder_is_named(tmp_path: Path, change: Callable[[Path], object], wanted: str):
    folder = LeRobotFiles([3, 4], picture=None).write(tmp_path)
    change(folder)
    with pytest.raises(PipelineError, match=wanted):
        read(folder)


def test_settings_that_do_not_fit_are_named(tmp_path: Path):
    for settings, wanted in (
        ({"path": "x", "repo_id": "a/b"}, "one of the two"),
        ({}, "one of the two"),
        ({"path": "x", "videos": "some"}, "source.videos"),
        ({"path": "x", "done": "yes"}, "source.done"),
        ({"repo_id": "../b"}, "OWNER/NAME"),
    ):
        with pytest.raises(PipelineError, match=wanted):
            LeRobotSource(**settings)
    folder = LeRobotFiles([1], picture=None).write(tmp_path)
    with pytest.raises(PipelineError, match="needs two"):
        read(folder, last_row="observation")


class TestOurs:
    """Our own exports, changed by somebody."""

    @pytest.fixture
    def export(self, tmp_path: Path, rng: np.random.Generator) -> Path:
        store = Workspace(str(tmp_path / "store"), "bin")
        ingested(Listed([made_episode(rng, 3 + number) for number in range(3)]), store)
        return shutil.copytree(place_of(exported(LeRobotFormat(), store)), tmp_path / "set")

    def test_a_changed_number_is_an_error_that_names_the_episode(self, export: Path):
        table = pq.read_table(export / ROWS)
        rewards = table["next.reward"].to_numpy().copy()
        rewards[4] += 1
        column = table.schema.get_field_index("next.reward")
        pq.write_table(table.set_column(column, "next.reward", pa.array(rewards)), export / ROWS)
        with pytest.raises(PipelineError, match="episode 1: its content is not what was exported"):
            read(export)

    def test_a_last_row_that_is_missing_is_an_error(self, export: Path):
        path = export / "final/chunk-000/file-000.parquet"
        pq.write_table(pq.read_table(path).slice(0, 2), path)
        with pytest.raises(PipelineError, match="episode 2: its content is not what was exported"):
            read(export)

    def test_a_set_that_other_tools_shortened_is_read_as_one_of_theirs(self, export: Path):
        table, rows = pq.read_table(export / TABLE).slice(0, 2), pq.read_table(export / ROWS).slice(0, 7)
        pq.write_table(table, export / TABLE)
        pq.write_table(rows, export / ROWS)
        info = json.loads((export / "meta/info.json").read_text())
        info |= {"total_episodes": 2, "total_frames": 7}
        (export / "meta/info.json").write_text(json.dumps(info))
        source = LeRobotSource(str(export))
        episodes = list(source.episodes("toy", "corner"))
        assert [episode.length for episode in episodes] == [3, 4]
        assert not any(episode.has_final_observation for episode in episodes)
        assert [quirk.name for quirk in source.quirks("toy", "corner")] == ["stale_episode_metadata"]
