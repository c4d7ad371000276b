"""JAT's Atari tasks: floats become the grey bytes they were, stacks become frames and come back as they were."""

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

from pipeline.domains.atari import LEVELS
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.jat.source import JatSource
from tests.jat_files import SCREEN_SCHEMA, JatTask, make_screens, restack, write_rows


def source(task: JatTask, **chosen: Any) -> JatSource:
    return JatSource(str(task.folder), row_width=task.width, **chosen)


def read(task: JatTask, start: int = 0, **chosen: Any) -> list[Episode]:
    return list(source(task, **chosen).episodes("atari", "pong", start))


def refusal(task: JatTask, **chosen: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(task, **chosen)
    return str(caught.value)


def grey(floats: Any) -> np.ndarray:
    """The bytes of JAT's floats, by arithmetic of double precision."""
    return np.array([round((value + 1) * 255 / 2) for value in np.ravel(floats)]).reshape(np.shape(floats))


def check_stacks(episodes: list[Episode], task: JatTask, padding: str | None) -> None:
    """Episodes give back JAT's stacks, bit for bit; `padding` makes them of single frames."""
    assert [episode.length for episode in episodes] == [len(played.rewards) for played in task.episodes]
    for episode, played in zip(episodes, task.episodes, strict=True):
        stored = episode.steps["observation"]
        assert stored.dtype == np.uint8
        assert not stored[-1].any()
        stacks = restack(stored[:-1], 4, padding) if padding else stored[:-1]
        wanted = np.array(played.observations, np.float32)
        assert LEVELS[stacks].tobytes() == wanted.tobytes()
        np.testing.assert_array_equal(stacks, grey(wanted))
        assert episode.steps["action"].dtype == np.int64
        assert episode.steps["action"].tolist() == [*played.actions, 0]
        assert episode.steps["reward"].tolist() == [*played.rewards[:-1], 0.0, 0.0]


# Grey bytes


def test_every_grey_byte_survives_jats_normalisation(tmp_path: Path):
    normalised = (np.arange(256, dtype=np.uint8) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    assert normalised.dtype == np.float32
    assert normalised.tobytes() == LEVELS.tobytes()
    screens = np.broadcast_to(normalised.reshape(1, 1, 16, 16), (1, 4, 16, 16)).tolist()
    row = {"image_observations": screens, "discrete_actions": [0], "rewards": [0.0], "attention_mask": [1]}
    (tmp_path / "atari-pong").mkdir()
    write_rows(
        tmp_path / "atari-pong" / "train-00000-of-00001.parquet", [row | {"loss_weight": [1.0]}], None, SCREEN_SCHEMA
    )
    (episode,) = JatSource(str(tmp_path), row_width=1).episodes("atari", "pong")
    assert episode.steps["observation"][0].ravel().tolist() == list(range(256))


@pytest.mark.parametrize("value", [-1.0 + 1 / 255, 0.0, 1.01, -1.01, 200.0, math.nan, math.inf, -math.inf, None])
def test_a_number_that_is_no_grey_level_is_named_by_its_place(tmp_path: Path, value: float | None):
    task = make_screens(tmp_path, [40, 3])
    task.rows[1]["image_observations"][5] = [
        [[value if x == y == z == 1 else v for x, v in enumerate(line)] for y, line in enumerate(frame)]
        for z, frame in enumerate(task.rows[1]["image_observations"][5])
    ]
    task.write()
    message = refusal(task)
    assert "row 1, column image_observations, step 5, frame 1, pixel (1, 1) has" in message
    assert "from -1 to 1" in message


def test_floats_that_are_almost_levels_are_read_and_counted(tmp_path: Path):
    task = make_screens(tmp_path, [40])
    exact = source(task)
    (wanted,) = exact.episodes("atari", "pong")
    assert not list(exact.quirks("atari", "pong"))
    line = task.rows[1]["image_observations"][7][3][2]
    line[1] = float(np.float32(line[1]) + np.float32(1e-6))
    task.write()
    almost = source(task)
    (episode,) = almost.episodes("atari", "pong")
    assert episode.digest() == wanted.digest()
    (quirk,) = almost.quirks("atari", "pong")
    assert (quirk.name, quirk.count) == ("inexact_screens", 1)
    assert "screens of 1 row are not the very floats" in quirk.sentence


def test_padding_may_hold_anything(tmp_path: Path):
    task = make_screens(tmp_path, [5, 33])
    for row in task.rows:
        if row["attention_mask"][-1] == 0:
            row["image_observations"][-1] = [[[math.nan, 7.0]] * 3] * 4
            row["discrete_actions"][-1] = -9
    task.write()
    check_stacks(read(task), task, "repeat")


# Stacks of frames


@pytest.mark.parametrize("padding", ["repeat", "zeros"])
@pytest.mark.parametrize("metadata", [True, False])
def test_single_frames_are_stored_and_the_rule_is_remembered(tmp_path: Path, padding: str, metadata: bool):
    task = make_screens(tmp_path, [100, 1, 32, 64, 7], padding=padding, files=2, metadata=metadata)
    episodes = read(task)
    assert episodes[0].steps["observation"].shape == (101, 3, 2)
    identity = source(task).identity("atari", "pong")
    assert identity["frame_stack"] == {"frames": 4, "stored": "frames", "padding": padding}
    assert identity == source(task, stacks=padding).identity("atari", "pong")
    check_stacks(episodes, task, identity["frame_stack"]["padding"])


@pytest.mark.parametrize("stacks", ["auto", "keep"])
def test_stacks_that_no_rule_pads_are_stored_as_given(tmp_path: Path, stacks: str):
    task = make_screens(tmp_path, [40, 5], padding="other")
    identity = source(task, stacks=stacks).identity("atari", "pong")
    assert identity["frame_stack"] == {"frames": 4, "stored": "stacks"}
    check_stacks(read(task, stacks=stacks), task, None)


def test_stacks_are_stored_as_given_when_told_so(tmp_path: Path):
    task = make_screens(tmp_path, [40, 5])
    check_stacks(read(task, stacks="keep"), task, None)


def test_stacks_that_do_not_follow_in_the_first_row_are_stored_as_given(tmp_path: Path):
    task = make_screens(tmp_path, [9])
    steps = task.rows[0]["image_observations"]
    steps[4], steps[5] = steps[5], steps[4]
    task.write()
    (episode,) = read(task)
    np.testing.assert_array_equal(episode.steps["observation"][:-1], grey(steps[:9]))


@pytest.mark.parametrize("frame", [0, 1, 2])
@pytest.mark.parametrize(
    ("episode", "step", "says"), [(1, 0, "step 0 starts the episode otherwise"), (0, 20, "step 20 does not")]
)
def test_a_later_episode_that_breaks_the_rule_is_refused_with_the_setting_that_keeps_stacks(
    tmp_path: Path, episode: int, step: int, says: str, frame: int
):
    task = make_screens(tmp_path, [70, 30], files=2)
    row = task.rows_of_episode[episode][-1 if episode else 1]
    task.rows[row]["image_observations"][step][frame] = [[1.0] * 2] * 3
    task.write()
    message = refusal(task)
    assert f"row {row}: the stack of {says}" in message
    assert "source.stacks=keep" in message
    assert len(read(task, stacks="keep")) == 2


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_a_row_must_go_on_from_the_row_before(tmp_path: Path, frame: int):
    task = make_screens(tmp_path, [64])
    task.rows[1]["image_observations"][0][frame] = [[1.0] * 2] * 3
    task.write()
    assert "row 1: the stack of step 0 does not" in refusal(task)


def test_the_rule_can_be_named_where_a_black_first_frame_hides_it(tmp_path: Path):
    task = make_screens(tmp_path, [6, 6], padding="zeros")
    black = task.rows[0]["image_observations"]
    for age in range(4):
        black[age][3 - age] = [[-1.0] * 2] * 3
    task.write()
    task.episodes[0].observations[:6] = black[:6]
    assert "padded by the rule repeat" in refusal(task)
    check_stacks(read(task, stacks="zeros"), task, "zeros")


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    width=st.integers(1, 9),
    files=st.integers(1, 3),
    group=st.integers(1, 4),
    metadata=st.booleans(),
    padding=st.sampled_from(["repeat", "zeros"]),
    keep=st.booleans(),
    data=st.data(),
)
def test_any_lengths_come_back_as_the_same_stacks_from_any_start(
    lengths: list[int],
    width: int,
    files: int,
    group: int,
    metadata: bool,
    padding: str,
    keep: bool,
    data: st.DataObject,
):
    with tempfile.TemporaryDirectory() as folder:
        task = make_screens(
            Path(folder),
            lengths,
            width=width,
            padding=padding,
            files=files,
            row_group_rows=group,
            metadata=metadata or keep,
        )
        start = data.draw(st.integers(0, len(lengths)))
        episodes = read(task, start, stacks="keep" if keep else padding)
        task.episodes = task.episodes[start:]
        check_stacks(episodes, task, None if keep else padding)


# Where episodes end


def test_without_metadata_stacks_tell_whether_an_episode_goes_on_after_a_full_row(tmp_path: Path):
    lengths = [64, 32, 100, 96, 5]
    task = make_screens(tmp_path, lengths, metadata=False)
    jat = source(task)
    assert [episode.length for episode in jat.episodes("atari", "pong")] == lengths
    asked = sum(
        before["attention_mask"][-1] == 1 and after["rewards"][0] == 0.0
        for before, after in zip(task.rows, task.rows[1:], strict=False)
    )
    assert asked > 3
    (quirk,) = jat.quirks("atari", "pong")
    assert (quirk.name, quirk.count) == ("undecided_full_rows", asked)
    assert f"after {asked} full rows the stacks of frames tell" in quirk.sentence
    assert jat.count("atari", "pong") is None
    assert jat.identity("atari", "pong")["boundaries"] == {"rule": "masks, first rewards and stacks"}


@pytest.mark.parametrize("start", [1, 2, 3, 4, 5])
def test_without_metadata_reading_can_start_after_boundaries_that_only_stacks_tell(tmp_path: Path, start: int):
    task = make_screens(tmp_path, [64, 32, 32, 96, 5], metadata=False)
    episodes = read(task, start)
    task.episodes = task.episodes[start:]
    check_stacks(episodes, task, "repeat")


def test_a_still_screen_at_a_full_row_is_noted(tmp_path: Path):
    task = make_screens(tmp_path, [64], metadata=False)
    for row in task.rows:
        row["image_observations"] = [[[[-1.0] * 2] * 3] * 4] * 32
        row["rewards"] = [0.0] * 32
    task.write()
    jat = source(task)
    assert [episode.length for episode in jat.episodes("atari", "pong")] == [64]
    still = {quirk.name: quirk for quirk in jat.quirks("atari", "pong")}["still_screens"]
    assert "after 1 of the full rows that were read the screen stands still" in still.sentence


def test_kept_stacks_need_metadata_where_rewards_do_not_tell(tmp_path: Path):
    task = make_screens(tmp_path, [64, 32], metadata=False)
    for row in task.rows:
        row["rewards"] = [0.0] * 32
    task.write()
    message = refusal(task, stacks="keep")
    assert "Nothing tells whether an episode goes on after" in message
    assert "ep_lens.json" in message


# Bad input


@pytest.mark.parametrize(("depth", "what"), [(0, "lists"), (1, "lists"), (2, "numbers")])
def test_a_step_of_another_shape_is_named(tmp_path: Path, depth: int, what: str):
    task = make_screens(tmp_path, [40])
    stack = task.rows[1]["image_observations"][6]
    (stack, stack[2], stack[2][1])[depth].pop()
    task.write()
    wanted = (4, 3, 2)[depth]
    assert f"row 1, step 6: image_observations has {wanted - 1} {what}, the task's first row has {wanted}" in refusal(
        task
    )


def test_actions_must_be_integers(tmp_path: Path):
    task = make_screens(tmp_path, [4])
    task.write(schema=SCREEN_SCHEMA.set(1, pa.field("discrete_actions", pa.list_(pa.float64()))))
    assert "discrete_actions must hold lists of integers, it holds list<element: double>" in refusal(task)


def test_an_unknown_rule_is_refused():
    with pytest.raises(InvalidInput, match="no source.stacks named mirror. Known: auto, keep, repeat, zeros"):
        JatSource(stacks="mirror")


def test_rows_are_32_steps_wide_unless_told_otherwise(tmp_path: Path):
    make_screens(tmp_path, [40])
    jat = JatSource(str(tmp_path))
    assert jat.identity("atari", "pong")["row_width"] == 32
    assert [episode.length for episode in jat.episodes("atari", "pong")] == [40]


# Streaming


PEAKS = """
import json, sys, tracemalloc
import pyarrow as pa
from pipeline.sources.jat.source import JatSource
source = JatSource(sys.argv[1])
source.identity("atari", "pong")  # loads what pyarrow loads late
tracemalloc.start()
(episode,) = source.episodes("atari", "pong")
peaks = {"python": tracemalloc.get_traced_memory()[1], "arrow": pa.default_memory_pool().max_memory()}
print(json.dumps(peaks))
"""


def test_memory_holds_the_growing_episode_and_a_few_rows(tmp_path: Path):
    rows = 16  # of real size: 3.6 MB of floats each, in one row group
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (rows * 32 + 3, 84, 84)).astype(np.uint8)
    frames[:3] = frames[3]
    stacks = np.stack([frames[at : at + rows * 32] for at in range(4)], axis=1)
    column: Any = pa.array(LEVELS[stacks].ravel())
    for size in (84, 84, 4, 32):
        column = pa.ListArray.from_arrays(pa.array(range(0, len(column) + 1, size), pa.int32()), column)
    table = pa.table(
        {
            "image_observations": column,
            "discrete_actions": pa.array([[1] * 32] * rows),
            "rewards": pa.array([[0.0] * 32] * rows, pa.list_(pa.float64())),
            "attention_mask": pa.array([[1] * 32] * rows, pa.list_(pa.int8())),
        }
    )
    (tmp_path / "atari-pong").mkdir()
    pq.write_table(table, tmp_path / "atari-pong" / "train-00000-of-00001.parquet")
    script = [sys.executable, "-c", PEAKS, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    run = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=120, check=True)
    peaks = json.loads(run.stdout)
    row, episode = column.nbytes // rows, stacks[:, -1].nbytes
    assert peaks["python"] - episode < 4 * row  # measured: 2.3
    assert peaks["arrow"] < 8 * row  # measured: 4.6
