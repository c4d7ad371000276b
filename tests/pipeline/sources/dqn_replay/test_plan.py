"""Dumps of a circular buffer become the episodes that were played, as plain loops over the play tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.dataset.reader import EpisodeDataset
from pipeline.sources.dqn_replay import part
from tests import dqn_replay_files as files
from tests.dqn_replay_files import ReplayRun, played_run
from tests.pipeline.sources.dqn_replay.readings import PROPERTY, check_reading, numbers, random_lengths, runs, stored


@pytest.mark.parametrize("dumps", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("cursor_at_the_end", [False, True])
def test_what_was_played_comes_back_from_any_number_of_checkpoints(dumps: int, cursor_at_the_end: bool):
    run = played_run(
        150, random_lengths(dumps, 40, 60), dumps=dumps, cursor_at_the_end=cursor_at_the_end, black_starts=True
    )
    assert len(run.dumps) == dumps
    assert not run.cycles_lost
    wanted = files.expected_chronological(run, numbers(run))
    assert len(wanted) == len(run.episodes)
    check_reading(run, wanted)


@settings(max_examples=20, **PROPERTY)
@given(
    run=runs(), count=st.integers(1, 6), quality=st.sampled_from(["random", "mixed", "expert"]), seed=st.integers(0, 3)
)
def test_whole_episodes_come_from_any_checkpoints_in_their_order(run: ReplayRun, count: int, quality: str, seed: int):
    assume(not run.end_is_unclear)
    chosen = files.chronological_numbers(run.dumps, quality, count, seed)
    wanted = files.expected_chronological(run, chosen)
    check_reading(run, wanted, quality=quality, num_slices=count, seed=seed)


def test_an_episode_may_span_many_checkpoints():
    run = played_run(30, [4, 130, 6, 7, 100])
    assert [dump.total // 30 for dump in run.dumps] == list(range(len(run.dumps)))
    check_reading(run, files.expected_chronological(run, numbers(run)))


@pytest.mark.parametrize("slot", range(24, 30))
@pytest.mark.parametrize("quality", ["random", "expert"])
def test_an_episode_that_begins_around_the_last_slot_is_whole(slot: int, quality: str):
    run = played_run(30, [slot - 3, 20, 9, 8, 30, 5])
    chosen = files.chronological_numbers(run.dumps, quality, len(run.dumps) - 1)
    check_reading(run, files.expected_chronological(run, chosen), quality=quality, num_slices=len(chosen))


def test_black_first_frames_are_kept():
    frames = np.zeros((6, 84, 84), np.uint8)
    frames[5] = 9
    run = ReplayRun(38)
    for _ in range(10):
        run.play(frames, np.array([0, 0, 0, 0, 0, 2], np.int32), np.zeros(6, np.float32))
    run.finish()
    check_reading(run, files.expected_chronological(run, numbers(run)))


@pytest.mark.parametrize("edges", ["stitch", "drop"])
@pytest.mark.parametrize("ahead", range(1, 8))
def test_a_fragment_that_opens_with_black_frames_is_not_taken_for_an_episode(ahead: int, edges: str):
    frames = np.zeros((9, 84, 84), np.uint8)
    frames[6:] = 9
    actions, rewards = np.array([0] * 6 + [1, 2, 3], np.int32), np.zeros(9, np.float32)
    run = ReplayRun(40)
    run.play(np.ones((37 - ahead, 84, 84), np.uint8), np.ones(37 - ahead, np.int32), np.ones(37 - ahead, np.float32))
    for _ in range(8):  # the first of them has `ahead` of its records, padding or black, before the second shard
        run.play(frames, actions, rewards)
    run.finish()
    chosen = [dump.number for dump in run.dumps if dump.start == 40]
    assert chosen
    expect = files.expected_chronological if edges == "stitch" else files.expected_per_shard
    source = {"quality": "expert", "num_slices": len(run.dumps) - chosen[0]} if edges == "stitch" else {"edges": "drop"}
    read = [dump.number for dump in run.dumps][::-1][: source["num_slices"]] if edges == "stitch" else numbers(run)
    check_reading(run, expect(run, read), **source)


@settings(max_examples=10, **PROPERTY)
@given(run=runs(padding=False, shortest=2), count=st.integers(1, 6), quality=st.sampled_from(["random", "expert"]))
def test_data_without_padding_lose_no_row(run: ReplayRun, count: int, quality: str):
    assume(len(run.dumps) > 1 and not run.end_is_unclear)
    chosen = files.chronological_numbers(run.dumps, quality, count)
    check_reading(run, files.expected_chronological(run, chosen), quality=quality, num_slices=count)


@settings(max_examples=10, **PROPERTY)
@given(run=runs(padding=None), count=st.integers(1, 6), quality=st.sampled_from(["random", "mixed", "expert"]))
def test_each_checkpoint_alone_gives_the_episodes_that_lie_in_it(run: ReplayRun, count: int, quality: str):
    assume(run.padding or len(run.dumps) > 1)
    chosen = files.chronological_numbers(run.dumps, quality, count)
    assume(not run.end_is_unclear)
    wanted = files.expected_per_shard(run, chosen)
    check_reading(run, wanted, edges="drop", quality=quality, num_slices=count)


@settings(max_examples=10, **PROPERTY)
@given(
    run=runs(padding=None, black=False, idle=False),
    count=st.integers(1, 6),
    quality=st.sampled_from(["random", "expert"]),
)
def test_fragments_are_kept_at_their_places_and_marked(run: ReplayRun, count: int, quality: str):
    assume(run.padding or len(run.dumps) > 1)
    chosen = files.chronological_numbers(run.dumps, quality, count)
    assume(not run.end_is_unclear)
    wanted = files.expected_fragments(run, chosen)
    check_reading(run, wanted, edges="keep", quality=quality, num_slices=count)


@pytest.mark.parametrize("seed", range(4))
def test_fragments_are_kept_of_a_run_with_idle_steps(seed: int):
    run = played_run(60, [*random_lengths(seed, 9, 50), 150, 20], seed=seed)
    check_reading(run, files.expected_fragments(run, numbers(run)), edges="keep")


@pytest.mark.parametrize("slot", range(35, 40))
def test_a_fragment_loses_the_padding_that_is_left_and_no_idle_step(slot: int):
    run = ReplayRun(40)
    for length in (slot - 3, 45, 37):  # the second episode's padding begins in `slot`
        frames = np.full((length, 84, 84), length, np.uint8)
        run.play(frames, np.zeros(length, np.int32), np.zeros(length, np.float32))
    run.finish()
    check_reading(run, files.expected_fragments(run, numbers(run)), edges="keep")


def test_up_to_three_idle_steps_at_the_end_of_a_checkpoint_are_taken_for_padding():
    run = ReplayRun(40, padding=0)
    for length in (38, 20, 30):
        frames = np.full((length, 84, 84), length, np.uint8)
        run.play(frames, np.zeros(length, np.int32), np.zeros(length, np.float32))
    run.finish()
    wanted = files.expected_fragments(run, numbers(run))
    told_apart = [each for each in wanted if each.terminated or len(each.actions) > 3]
    assert len(told_apart) == len(wanted) - 1
    check_reading(run, told_apart, edges="keep")


@settings(max_examples=10, **PROPERTY)
@given(run=runs())
def test_upstream_rows_are_all_rows_in_the_order_of_their_slots(run: ReplayRun):
    check_reading(run, files.expected_upstream(run, numbers(run)), rows="upstream")


def test_an_episode_as_long_as_the_time_limit_was_cut_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert part.TIME_LIMIT == files.TIME_LIMIT == 27_000
    monkeypatch.setattr(part, "TIME_LIMIT", 270)
    run = ReplayRun(370)
    frame, zeros = np.full((84, 84), 5, np.uint8), np.zeros(270, np.float32)
    for length in (40, 270, 50):
        frames = np.broadcast_to(frame, (length, 84, 84))
        run.play(frames, np.ones(length, np.int32), zeros[:length])
    assert len(run.dumps) == 1
    run.write_bucket(tmp_path / "files")
    artifact = stored(tmp_path / "files", tmp_path)
    flags = [(e.length, e.terminated, e.truncated, e.end_reason) for e in EpisodeDataset.of(artifact)]
    assert flags == [
        (40, True, False, "terminated"),
        (270, False, True, "time_limit"),
        (50, True, False, "terminated"),
    ]
