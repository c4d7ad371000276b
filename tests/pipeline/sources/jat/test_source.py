"""JAT: rows of 256 steps become whole episodes, from folders as their authors wrote them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.jat import rows as jat_rows
from pipeline.sources.jat.source import JatSource
from tests.contracts.source import SourceContract
from tests.hub_server import serving
from tests.jat_files import SCHEMA, JatTask, make_jat, make_missions, make_screens, write_rows

ROOT = Path(__file__).parents[4]


def read(task: JatTask, start: int = 0, **settings: Any) -> list[Episode]:
    source = JatSource(str(task.folder), row_width=task.width, **settings)
    return list(source.episodes(*task.name.split("-", 1), start))


def refusal(task: JatTask) -> str:
    """The message with which the importer refuses a folder."""
    with pytest.raises(InvalidInput) as caught:
        read(task)
    return str(caught.value)


def check_episodes(episodes: list[Episode], task: JatTask) -> None:
    assert [episode.length for episode in episodes] == [len(played.rewards) for played in task.episodes]
    for episode, played in zip(episodes, task.episodes, strict=True):
        assert episode.steps["observation"][:-1].tolist() == played.observations
        assert episode.steps["action"][:-1].tolist() == played.actions
        assert episode.steps["reward"].tolist() == [*played.rewards[:-1], 0.0, 0.0]


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


def test_lists_of_fixed_and_large_size_read_alike(tmp_path: Path):
    task = make_jat(tmp_path, [300, 5])
    digests = [episode.digest() for episode in read(task)]
    task.write(
        schema=SCHEMA.set(0, pa.field("continuous_observations", pa.large_list(pa.list_(pa.float64(), 3)))).set(
            2, pa.field("rewards", pa.list_(pa.float64(), 256))
        )
    )
    assert [episode.digest() for episode in read(task)] == digests


def test_padding_may_hold_anything(tmp_path: Path):
    task = make_jat(tmp_path, [5, 6])
    for row in task.rows:
        row["continuous_observations"][-1] = [math.nan, math.inf, 0.0]
        row["rewards"][-1] = math.nan
        row["continuous_actions"][-1] = [None, -math.inf]
    task.write()
    check_episodes(read(task), task)


def test_the_test_split_is_never_read(tmp_path: Path):
    task = make_jat(tmp_path, [4, 5])
    (train,) = task.paths
    train.rename(train.with_name("part.parquet"))
    assert [episode.length for episode in read(task)] == [4, 5]


def test_shards_follow_one_another_by_number_not_by_spelling(tmp_path: Path):
    task = make_jat(tmp_path, list(range(1, 13)), files=12, metadata=False)
    for number, path in enumerate(task.paths):
        path.rename(path.with_name(f"train-{number}.parquet"))
    assert [episode.length for episode in read(task)] == list(range(1, 13))


# Where episodes end


def test_an_episode_of_exactly_256_steps_ends_where_the_next_row_starts_with_reward_zero(tmp_path: Path):
    task = make_jat(tmp_path, [256, 512, 100, 256], metadata=False)
    source = JatSource(str(tmp_path))
    assert [e.length for e in source.episodes("mujoco", "ant")] == [256, 512, 100, 256]
    (quirk,) = source.quirks("mujoco", "ant")
    assert (quirk.name, quirk.count) == ("inferred_ends", 2)
    assert "2 of 4 episodes" in quirk.sentence
    assert "first reward is 0.0" in quirk.sentence
    assert task.real_steps() == [256, 256, 256, 100, 256]


def test_nothing_is_noted_when_masks_or_metadata_tell_all_boundaries(tmp_path: Path):
    make_jat(tmp_path / "short", [100, 300], metadata=False)
    make_jat(tmp_path / "told", [256, 256])
    for folder in ("short", "told"):
        source = JatSource(str(tmp_path / folder))
        assert len(list(source.episodes("mujoco", "ant"))) == 2
        assert not list(source.quirks("mujoco", "ant"))


def test_metadata_keeps_an_episode_whole_that_received_exactly_zero_at_a_cut(tmp_path: Path):
    task = make_jat(tmp_path, [400])
    task.rows[1]["rewards"][0] = 0.0
    task.write()
    assert [episode.length for episode in read(task)] == [400]
    for path in task.task_folder.glob("*.json"):
        path.unlink()
    assert [episode.length for episode in read(task)] == [256, 144]


@pytest.mark.parametrize("kept", ["ep_lens.json", "eps_2_rows_tokenized.json", "rows_tokenized_2_eps.json"])
def test_one_metadata_file_is_enough(tmp_path: Path, kept: str):
    task = make_jat(tmp_path, [400, 256, 256, 9])
    task.rows[1]["rewards"][0] = 0.0  # without metadata this would look like a new episode
    task.write()
    for path in task.task_folder.glob("*.json"):
        if path.name != kept:
            path.unlink()
    assert [episode.length for episode in read(task)] == [400, 256, 256, 9]


def test_metadata_is_also_found_in_the_folder_of_regent(tmp_path: Path):
    task = make_jat(tmp_path, [400, 7], metadata=False)
    source = JatSource(str(tmp_path))
    assert source.count("mujoco", "ant") is None
    task.write_metadata(tmp_path / "dataset_jat_regent" / "mujoco-ant")
    assert source.count("mujoco", "ant") == 2
    check_episodes(read(task), task)


def test_episodes_of_no_steps_in_the_metadata_own_no_rows(tmp_path: Path):
    task = make_jat(tmp_path, [300, 7])
    told = {
        "ep_lens.json": {"0": 0, "1": 300, "2": 0, "3": 7},
        "eps_2_rows_tokenized.json": {"1": [0, 1], "3": [2]},
        "rows_tokenized_2_eps.json": {"0": 1, "1": 1, "2": 3},
    }
    for name, value in told.items():
        (task.task_folder / name).write_text(json.dumps(value))
    check_episodes(read(task), task)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("rows_tokenized_2_eps.json", {"0": 0, "1": 0}, "row 2 is missing"),
        ("rows_tokenized_2_eps.json", {"0": 0, "1": 0, "2": 1, "3": 1}, "row 3 is not one of the files"),
        ("rows_tokenized_2_eps.json", {"0": 0, "1": 1, "2": 1}, "must agree"),
        ("rows_tokenized_2_eps.json", {"0": 1, "1": 1, "2": 0}, "row 2 to episode 0 after a row of episode 1"),
        ("rows_tokenized_2_eps.json", {"0": 0, "1": 0, "2": "x"}, 'whole numbers from 0 on; it holds "x"'),
        ("rows_tokenized_2_eps.json", [0, 0, 1], "JSON object"),
        ("rows_tokenized_2_eps.json", {"a": 0}, "numbers as keys"),
        ("eps_2_rows_tokenized.json", {"0": [0, 1], "1": [1]}, "names 3"),
        ("eps_2_rows_tokenized.json", {"0": 0}, "a list of rows"),
        ("ep_lens.json", {"0": 299, "1": 7}, "says that episode 0 has 299 steps"),
        ("ep_lens.json", {"0": 300, "1": 7, "2": 7}, "describes 4 rows, the parquet files hold 3"),
        ("ep_lens.json", {"0": 300, "2": 7}, "must agree"),
    ],
)
def test_metadata_that_disagrees_is_refused(tmp_path: Path, name: str, value: Any, says: str):
    task = make_jat(tmp_path, [300, 7])
    (task.task_folder / name).write_text(json.dumps(value))
    message = refusal(task)
    assert says in message
    assert name in message or "ep_lens" in name
    assert "remove it: boundaries are then found from masks and rewards" in message


def test_metadata_that_goes_on_after_padding_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [300, 7], metadata=False)
    (task.task_folder / "rows_tokenized_2_eps.json").write_text('{"0": 0, "1": 0, "2": 0}')
    message = refusal(task)
    assert "episode 0 goes on after" in message
    assert "row 1, but that row has 44 of 256 real steps" in message


def test_metadata_that_is_no_json_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3])
    (task.task_folder / "ep_lens.json").write_text('{"0": ')
    assert "ep_lens.json must be a JSON object" in refusal(task)


@pytest.mark.parametrize("metadata", [True, False])
def test_an_episode_that_starts_with_a_reward_is_refused(tmp_path: Path, metadata: bool):
    task = make_jat(tmp_path, [5, 6, 7], files=2, metadata=metadata)
    task.rows[2]["rewards"][0] = 0.25
    task.write(files=2)
    message = refusal(task)
    assert "train-00001-of-00002.parquet, row 1 (row 2 of the task)" in message
    assert "starts with 0.25" in message


# Identity


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


# Bad input


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
    with pytest.raises(InvalidInput, match="There is no folder .*nowhere"):
        JatSource(str(tmp_path / "nowhere")).identity("mujoco", "ant")


def test_a_folder_of_the_test_split_alone_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3], metadata=False)
    task.paths[0].unlink()
    message = refusal(task)
    assert "train-*.parquet" in message
    assert "holds test-00000-of-00001.parquet" in message


def test_a_missing_shard_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3, 300, 300, 4], files=3, metadata=False)
    task.paths[1].unlink()
    message = refusal(task)
    assert "needs 3 train files" in message
    assert "number 00001 is not there" in message


@pytest.mark.parametrize("column", SCHEMA.names[:4])
def test_a_missing_column_is_named_with_those_there(tmp_path: Path, column: str):
    task = make_jat(tmp_path, [3])
    task.write(schema=SCHEMA.remove(SCHEMA.get_field_index(column)))
    message = refusal(task)
    assert f"needs a column {column}; it has " in message
    assert "loss_weight" in message


@pytest.mark.parametrize(("domain", "column"), [("atari", "image_observations"), ("babyai", "discrete_observations")])
def test_a_task_of_another_domain_is_refused_with_the_columns_there(tmp_path: Path, domain: str, column: str):
    make_jat(tmp_path, [3], name=f"{domain}-ant")
    with pytest.raises(InvalidInput, match=f"needs a column {column}; it has continuous_observations, "):
        JatSource(str(tmp_path)).identity(domain, "ant")


def test_columns_that_hold_no_vectors_are_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3])
    for row in task.rows:
        row["continuous_actions"] = [step[0] for step in row["continuous_actions"]]
    task.write(schema=SCHEMA.set(1, pa.field("continuous_actions", pa.list_(pa.float64()))))
    assert "continuous_actions must hold lists of lists of numbers, it holds list<element: double>" in refusal(task)


def test_files_of_other_number_types_are_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3, 4], files=2)
    narrow = SCHEMA.set(0, pa.field("continuous_observations", pa.list_(pa.list_(pa.float32()))))
    write_rows(task.paths[1], task.rows[1:], schema=narrow)
    message = refusal(task)
    assert "train-00001-of-00002.parquet has continuous_observations float," in message
    assert "train-00000-of-00002.parquet has continuous_observations double," in message


def test_rows_of_another_width_are_refused_with_the_setting_that_reads_them(tmp_path: Path):
    make_jat(tmp_path, [3], width=128)
    with pytest.raises(InvalidInput, match=r"needs 256 steps .*row 0: attention_mask has 128.*source.row_width=128"):
        next(JatSource(str(tmp_path)).episodes("mujoco", "ant"))


@pytest.mark.parametrize("column", SCHEMA.names[:4])
def test_a_row_of_another_length_is_named(tmp_path: Path, column: str):
    task = make_jat(tmp_path, [3, 4, 5, 6], files=2, row_group_rows=1)
    task.rows[3][column].pop()
    task.write(files=2, row_group_rows=1)
    message = refusal(task)
    assert f"row 1 (row 3 of the task): {column} has 255" in message


@pytest.mark.parametrize(("vector", "there"), [([1.0], "1"), ([1.0, 2.0, 3.0, 4.0], "4"), (None, "nothing")])
def test_a_step_of_another_width_is_named(tmp_path: Path, vector: list[float] | None, there: str):
    task = make_jat(tmp_path, [30, 40])
    task.rows[1]["continuous_observations"][17] = vector
    task.write()
    message = refusal(task)
    assert f"row 1, step 17: continuous_observations has {there} numbers" in message
    assert "first row has 3" in message


def test_a_row_without_a_value_is_named(tmp_path: Path):
    task = make_jat(tmp_path, [30, 40])
    task.rows[1]["rewards"] = None  # type: ignore[assignment]
    task.write()
    assert "row 1: rewards has nothing" in refusal(task)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("column", ["continuous_observations", "continuous_actions", "rewards"])
def test_a_number_that_is_none_is_named_by_file_row_column_and_step(tmp_path: Path, column: str, value: float | None):
    task = make_jat(tmp_path, [30, 40, 50], files=2)
    if column == "rewards":
        task.rows[2][column][11] = value
    else:
        task.rows[2][column][11][1] = value
    task.write(files=2)
    message = refusal(task)
    assert f"train-00001-of-00002.parquet, row 1 (row 2 of the task), column {column}, step 11 has" in message


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ([1, 0, 1] + [0] * 253, "has a real step after padding"),
        ([0, 1] + [0] * 254, "has a real step after padding"),
        ([0] * 256, "is all zeros"),
        ([1, 2] + [0] * 254, "holds values other than 0 and 1"),
        ([1, -1] + [0] * 254, "holds values other than 0 and 1"),
    ],
)
def test_a_mask_that_is_not_ones_then_zeros_is_refused(tmp_path: Path, mask: list[int], says: str):
    task = make_jat(tmp_path, [30, 40])
    task.rows[1]["attention_mask"] = mask
    task.write()
    message = refusal(task)
    assert f"row 1: it {says}" in message


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int):
    task = make_jat(tmp_path, [30])
    task.paths[0].write_bytes(task.paths[0].read_bytes()[:keep])
    message = refusal(task)
    assert "train-00000-of-00001.parquet cannot be read as a parquet file" in message
    assert "download it again" in message


def test_damaged_pages_are_refused_when_they_are_reached(tmp_path: Path):
    task = make_jat(tmp_path, [256] * 8)
    content = bytearray(task.paths[0].read_bytes())
    column = pq.read_metadata(task.paths[0]).row_group(0).column(0)
    start = column.data_page_offset
    content[start : start + 2000] = b"\xff" * 2000
    task.paths[0].write_bytes(content)
    assert "cannot be read as a parquet file" in refusal(task)


def test_a_single_wrong_byte_is_refused_where_pages_carry_checksums(tmp_path: Path):
    task = make_jat(tmp_path, [30])
    pq.write_table(pq.read_table(task.paths[0]), task.paths[0], compression="none", write_page_checksum=True)
    content = bytearray(task.paths[0].read_bytes())
    column = pq.read_metadata(task.paths[0]).row_group(0).column(0)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    task.paths[0].write_bytes(content)
    assert "cannot be read as a parquet file" in refusal(task)


def test_a_footer_with_damaged_names_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [30])
    content = task.paths[0].read_bytes()
    task.paths[0].write_bytes(content.replace(b"loss_weight", b"loss\xffweight"))
    assert "cannot be read as a parquet file" in refusal(task)


def test_files_without_any_row_are_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3], metadata=False)
    task.rows.clear()
    task.write()
    assert "hold no rows" in refusal(task)


def test_a_row_width_below_one_is_refused():
    with pytest.raises(InvalidInput, match="row_width"):
        JatSource(row_width=0)


# Streaming


def test_memory_does_not_grow_with_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jat_rows, "BLOCK_BYTES", 2**18)
    rows, width, vector = 400, 256, 24
    numbers = rows * width * vector
    folder = tmp_path / "mujoco-ant"
    folder.mkdir()

    def lists(values: Any, size: int) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, size), pa.int32()), values)

    steps = lists(pa.array(np.random.default_rng(0).normal(size=numbers)), vector)
    short = [1] * 99 + [0] * 157
    table = pa.table(
        {
            "continuous_observations": lists(steps, width),
            "continuous_actions": lists(steps, width),
            "rewards": pa.array([[0.0] * width] * rows, pa.list_(pa.float64())),
            "attention_mask": pa.array([short] * rows, pa.list_(pa.int8())),
        }
    )
    pq.write_table(table, folder / "train-00000-of-00001.parquet", use_dictionary=False)  # one row group
    del steps, table
    before, peak, count = pa.total_allocated_bytes(), 0, 0
    for _ in JatSource(str(tmp_path)).episodes("mujoco", "ant"):
        peak, count = max(peak, pa.total_allocated_bytes() - before), count + 1
    assert count == rows
    assert peak < 2 * numbers * 8 / 5  # measured: a twentieth of the 39 MB


def test_rows_before_the_start_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_jat(tmp_path, [10] * 12, files=3, row_group_rows=2)
    source, read_groups = JatSource(str(tmp_path)), []
    original = pq.ParquetFile.iter_batches

    def spy(file: Any, size: int, row_groups: list[int], columns: list[str]) -> Any:
        read_groups.append((len(columns), row_groups))
        return original(file, size, row_groups=row_groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    assert len(list(source.episodes("mujoco", "ant", 7))) == 5
    assert [groups for columns, groups in read_groups if columns == 3] == [[1], [0, 1]]


# The hub

REPO, RAW_REPO = "jat-project/jat-dataset-tokenized", "jat-project/jat-dataset"

READ_FROM_HUB = """
import json, sys
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
