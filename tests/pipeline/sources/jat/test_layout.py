"""Which rows make up which episode: from masks, rewards and metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.sources.jat.source import JatSource
from tests.jat_files import make_jat
from tests.pipeline.sources.jat.readings import check_episodes, read, refusal


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


@pytest.mark.parametrize("name", ["ep_lens.json", "eps_2_rows_tokenized.json", "rows_tokenized_2_eps.json"])
@pytest.mark.parametrize(
    "text",
    [
        '{"0": 1000000000000, "1": 7}',
        '{"0": 100000000000000000000000, "1": 7}',
        '{"100000000000000000000000": 300, "1": 7}',
        '{"0": 300, "0": 300, "1": 7}',
        '{"0": 300, "01": 7}',
        '{"0": 300, "-1": 7}',
        '{"0": 300, "": 7}',
        '{"0": 300, "1": null}',
        '{"0": 300, "1": true}',
        '{"0": 300, "1": 7.0}',
        '{"0": 300, "1": NaN}',
        '{"0": [0, 1], "1": [100000000000000000000000]}',
        '{"0": [0, 1], "1": [[[2]]]}',
        '{"0": 300, "1": {"a": 7}}',
        '{"0": ' + "[" * 100_000,
        '{"0": ' + "9" * 5_000 + "}",
        "null",
        "{}",
        "",
        "\x00",
    ],
)
def test_metadata_of_impossible_numbers_is_refused_at_once(tmp_path: Path, name: str, text: str):
    task = make_jat(tmp_path, [300, 7])
    (task.task_folder / name).write_text(text)
    message = refusal(task)
    assert name in message
    assert len(message) < 1_000


def test_a_pipe_in_the_place_of_metadata_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [300, 7], metadata=False)
    os.mkfifo(task.task_folder / "ep_lens.json")
    assert "ep_lens.json must be a file; a named pipe is there" in refusal(task)
