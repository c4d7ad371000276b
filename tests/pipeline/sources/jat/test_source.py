"""JAT: rows become the episodes that were played, from a folder or the hub."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.episode import Episode
from pipeline.errors import CauseOfAll, InvalidInput
from pipeline.sources.jat.maps import BOUNDARIES
from pipeline.sources.jat.source import JatSource
from tests.contracts.source import NamingSourceContract, SourceContract
from tests.hub_server import serving
from tests.jat_files import SCHEMA, make_jat, make_missions, make_screens, write_rows
from tests.named import edited_json
from tests.pipeline.sources.jat.readings import check_episodes, read

ROOT = Path(__file__).parents[4]


def regent_arrays(episodes: list[Episode], width: int) -> dict[str, np.ndarray]:
    """Rows of `width` steps from episodes, the way bins are made: shift rewards, cut, pad with a row's first step."""
    rows: dict[str, list[np.ndarray]] = {"continuous_observations": [], "continuous_actions": [], "rewards": []}
    for episode in episodes:
        steps = (episode.steps["observation"][:-1], episode.steps["action"][:-1])
        shifted = np.concatenate([[0.0], episode.steps["reward"][: episode.length - 1]])
        for name, array in zip(rows, (*steps, shifted), strict=True):
            for start in range(0, episode.length, width):
                chunk = array[start : start + width].astype(np.float32)
                rows[name].append(np.concatenate([chunk, np.repeat(chunk[:1], width - len(chunk), axis=0)]))
    return {name: np.stack(chunks) for name, chunks in rows.items()}


class TestVectors(SourceContract):
    """Without metadata some ends are inferred: a quirk."""

    domain, task = "mujoco", "ant"

    def write(self, folder: Path) -> None:
        make_jat(folder, [300, 256, 5, 256, 9], files=2, row_group_rows=2, metadata=False)

    def source(self, folder: Path) -> JatSource:
        return JatSource(str(folder))


class TestScreens(SourceContract):
    """Without metadata frames tell which rows go on, so those before the start are read, too."""

    domain, task = "atari", "pong"

    def write(self, folder: Path) -> None:
        make_screens(folder, [64, 5, 70], metadata=False)

    def source(self, folder: Path) -> JatSource:
        return JatSource(str(folder))


class TestMaps(NamingSourceContract):
    """Maps that name rows and episodes by their numbers: anything else is refused."""

    domain, task = "mujoco", "ant"
    files_named: ClassVar = {
        name: lambda folder, said, name=name: edited_json(
            folder / "mujoco-ant" / name, lambda known: known.update({said: 0})
        )
        for name in BOUNDARIES
    }

    def write(self, folder: Path) -> None:
        make_jat(folder, [300, 256, 5])

    def source(self, folder: Path) -> JatSource:
        return JatSource(str(folder))


class TestMissions(SourceContract):
    domain, task = "babyai", "goto"

    def write(self, folder: Path) -> None:
        make_missions(folder, [300, 4, 9], name="babyai-goto")

    def source(self, folder: Path) -> JatSource:
        return JatSource(str(folder))


@pytest.mark.parametrize("metadata", [True, False])
def test_rows_become_the_episodes_that_were_played(tmp_path: Path, metadata: bool):
    task = make_jat(tmp_path, [100, 1, 257, 256, 600, 512, 3], files=3, row_group_rows=2, metadata=metadata)
    check_episodes(read(task), task)


def test_a_hand_written_episode_gets_its_rewards_back_and_loses_the_last(tmp_path: Path):
    row = {
        "continuous_observations": [[1.0], [2.0], [3.0], [9.0]],
        "continuous_actions": [[0.1], [0.2], [0.3], [9.0]],
        "rewards": [0.0, 10.0, 20.0, 9.0],
        "attention_mask": [1, 1, 1, 0],
        "loss_weight": [1.0, 1.0, 1.0, 1.0],
    }
    (tmp_path / "mujoco-ant").mkdir()
    write_rows(tmp_path / "mujoco-ant" / "train-00000-of-00001.parquet", [row])
    (episode,) = JatSource(str(tmp_path), row_width=4).episodes("mujoco", "ant")
    assert episode.steps["observation"].tolist() == [[1.0], [2.0], [3.0], [0.0]]
    assert episode.steps["action"].tolist() == [[0.1], [0.2], [0.3], [0.0]]
    assert episode.steps["reward"].tolist() == [10.0, 20.0, 0.0, 0.0]
    assert episode.steps["discount"].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_what_jat_dropped_is_flagged(tmp_path: Path):
    (episode,) = read(make_jat(tmp_path, [5]))
    assert not episode.has_final_observation
    assert not episode.has_final_reward
    assert not episode.terminated
    assert not episode.truncated
    assert (episode.end_reason, episode.seed, episode.success) == ("source", -1, -1)


def test_bins_made_of_the_episodes_equal_those_of_the_rows_byte_for_byte(tmp_path: Path):
    task = make_jat(tmp_path, [300, 256, 1, 40], files=2)
    made, wanted = regent_arrays(read(task), task.width), task.regent_arrays()
    assert {name: array.dtype for name, array in wanted.items()} == dict.fromkeys(made, np.dtype(np.float32))
    assert [name for name in wanted if made[name].tobytes() != wanted[name].tobytes()] == []


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 26), min_size=1, max_size=7),
    width=st.integers(1, 9),
    files=st.integers(1, 3),
    group=st.integers(1, 4),
    metadata=st.booleans(),
    data=st.data(),
)
def test_any_lengths_in_any_files_come_back_from_any_start(
    lengths: list[int], width: int, files: int, group: int, metadata: bool, data: st.DataObject
):
    with tempfile.TemporaryDirectory() as folder:
        task = make_jat(Path(folder), lengths, width=width, files=files, row_group_rows=group, metadata=metadata)
        episodes = read(task)
        check_episodes(episodes, task)
        start = data.draw(st.integers(0, len(lengths) + 1))
        assert [e.digest() for e in read(task, start)] == [e.digest() for e in episodes[start:]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_keep_the_precision_they_are_stored_with(tmp_path: Path, dtype: str):
    task = make_jat(tmp_path, [4])
    vectors = pa.list_(pa.list_(pa.from_numpy_dtype(dtype)))
    task.write(schema=SCHEMA.set(0, SCHEMA.field(0).with_type(vectors)).set(1, SCHEMA.field(1).with_type(vectors)))
    (episode,) = read(task)
    assert {str(episode.steps[name].dtype) for name in ("observation", "action")} == {dtype}
    assert episode.steps["reward"].dtype == np.float64


def test_padding_may_hold_anything(tmp_path: Path):
    task = make_jat(tmp_path, [5, 6])
    for row in task.rows:
        row["continuous_observations"][-1] = [math.nan, math.inf, 0.0]
        row["rewards"][-1] = math.nan
        row["continuous_actions"][-1] = [None, -math.inf]
    task.write()
    check_episodes(read(task), task)


def test_identity_survives_a_move_and_changes_with_the_content(tmp_path: Path):
    def identity(folder: str, **options: Any) -> str:
        make_jat(tmp_path / folder, [300, 256, 8], **options)
        return json.dumps(JatSource(str(tmp_path / folder)).identity("mujoco", "ant"))

    first = identity("a")
    assert str(tmp_path) not in first
    assert identity("b") == first
    assert identity("c", seed=1) != first
    assert identity("d", files=2) != first
    assert identity("e", metadata=False) != first


def test_identity_tells_the_metadata_that_cut_other_episodes(tmp_path: Path):
    task = make_jat(tmp_path, [256, 256])
    source = JatSource(str(tmp_path))
    two = source.identity("mujoco", "ant")
    for path in task.task_folder.glob("*.json"):
        path.unlink()
    (task.task_folder / "ep_lens.json").write_text('{"0": 512}')
    assert source.identity("mujoco", "ant")["boundaries"] != two["boundaries"]
    assert source.identity("mujoco", "ant")["files"] == two["files"]


def test_a_missing_task_folder_names_the_nearest_ones(tmp_path: Path):
    for name in ("metaworld-push", "metaworld-push-back", "mujoco-ant"):
        make_jat(tmp_path, [3], name=name)
    with pytest.raises(InvalidInput, match="No folder metaworld-push-wall in .*there: metaworld-push"):
        next(JatSource(str(tmp_path)).episodes("metaworld", "push-wall"))


def test_a_path_one_folder_too_deep_is_explained(tmp_path: Path):
    task = make_jat(tmp_path, [3])
    with pytest.raises(InvalidInput, match="source.path is the folder above mujoco-ant"):
        next(JatSource(str(task.task_folder)).episodes("mujoco", "ant"))


def test_a_path_that_does_not_exist_is_named(tmp_path: Path):
    with pytest.raises(CauseOfAll, match="There is no folder .*nowhere"):  # no other task is tried
        JatSource(str(tmp_path / "nowhere")).identity("mujoco", "ant")


def test_a_row_width_below_one_is_refused():
    with pytest.raises(InvalidInput, match="row_width"):
        JatSource(row_width=0)


REPO, RAW_REPO = "jat-project/jat-dataset-tokenized", "jat-project/jat-dataset"


READ_FROM_HUB = """
import json, sys
from pipeline.sources.jat.maps import BOUNDARIES
from pipeline.sources.jat.source import JatSource
source = JatSource(cache=sys.argv[1])
episodes = [(episode.length, episode.mission) for episode in source.episodes(*sys.argv[2:])]
print(json.dumps([episodes, source.count(*sys.argv[2:]), source.identity(*sys.argv[2:])]))
"""


def from_hub(url: str, cache: Path, domain: str = "mujoco", task: str = "ant") -> subprocess.CompletedProcess[str]:
    """Read a task in a fresh process: the hub client looks at HF_ENDPOINT when it is imported."""
    here = {"HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    environment = {**os.environ, **here, "PYTHONPATH": str(ROOT)}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", READ_FROM_HUB, str(cache), domain, task]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_hub_is_read_like_a_folder_and_complete_files_are_downloaded_once(tmp_path: Path):
    task = make_jat(tmp_path / "served", [300, 5, 256], files=3)
    make_jat(tmp_path / "served", [4], name="mujoco-antmaze")
    with serving(tmp_path / "hub") as hub:
        hub.create_from(task.folder, REPO)
        hub.fail("mujoco-ant/train-00002-of-00003.parquet", 404, headers={"X-Error-Code": "EntryNotFound"})
        stopped = from_hub(hub.url, tmp_path / "cache")
        assert stopped.returncode == 1
        assert "InvalidInput: mujoco-ant of the dataset" in stopped.stderr
        assert "run again: what is complete is kept" in stopped.stderr
        run = from_hub(hub.url, tmp_path / "cache")
        assert run.returncode == 0, run.stderr
    episodes, count, identity = json.loads(run.stdout)
    assert (episodes, count) == ([[300, ""], [5, ""], [256, ""]], 3)
    assert identity["data"] == f"{REPO}@main"
    assert identity["files"] == JatSource(str(task.folder)).identity("mujoco", "ant")["files"]
    names = {path.name for path in task.task_folder.iterdir() if not path.name.startswith("test-")}
    assert hub.sent(REPO) == sorted(f"mujoco-ant/{name}" for name in names)


def test_missions_come_from_the_raw_dataset_on_the_hub(tmp_path: Path):
    task = make_missions(tmp_path / "served", [300, 5, 256], metadata=False, texts=False)
    (raw,) = task.write_raw(tmp_path / "raw", empty_at=[1])
    with serving(tmp_path / "hub") as hub:
        hub.create_from(task.folder, REPO)
        hub.create_from(tmp_path / "raw", RAW_REPO)
        run = from_hub(hub.url, tmp_path / "cache", "babyai", "go-to")
        assert run.returncode == 0, run.stderr
    episodes, count, identity = json.loads(run.stdout)
    assert episodes == [[len(played.rewards), played.mission] for played in task.episodes]
    assert count == 3
    assert identity["missions"]["named"] == "texts"
    assert hub.sent(REPO) == sorted(f"babyai-go-to/{path.name}" for path in task.paths)
    assert hub.sent(RAW_REPO) == [f"babyai-go-to/{raw.name}"]


def test_a_task_that_the_hub_does_not_have_is_refused(tmp_path: Path):
    task = make_jat(tmp_path / "served", [4], name="mujoco-pusher")
    with serving(tmp_path / "hub") as hub:
        hub.create_from(task.folder, REPO)
        run = from_hub(hub.url, tmp_path / "cache")
    assert run.returncode == 1
    assert f"The dataset {REPO} at main has no files mujoco-ant/train-*" in run.stderr


def test_a_hub_that_cannot_be_reached_is_explained(tmp_path: Path):
    run = from_hub("http://127.0.0.1:9", tmp_path)
    assert run.returncode == 1
    assert "could not be downloaded" in run.stderr
    assert "source.path=FOLDER" in run.stderr
