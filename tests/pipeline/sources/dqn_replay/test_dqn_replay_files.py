"""The maker of the test files itself: it plays the logger, slot by slot."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from hypothesis import given, settings

from tests.dqn_replay_files import FIELDS, ReplayRun, played_run
from tests.pipeline.sources.dqn_replay.readings import PROPERTY, numbers, random_lengths, runs


def records(run: ReplayRun, name: str) -> list[bytes]:
    """The records of a run in the order in which they were added."""
    stream = []
    for episode in run.episodes:
        last = [0] * (len(episode.actions) - 1) + [int(episode.ended)]
        rows = dict(zip(FIELDS, (episode.frames, episode.actions, episode.rewards, np.uint8(last)), strict=True))[name]
        stream += [np.zeros_like(rows[0]).tobytes()] * run.padding + [row.tobytes() for row in rows]
    return stream


@settings(max_examples=25, **PROPERTY)
@given(run=runs(padding=None))
def test_dumps_laid_in_the_order_of_time_give_the_stream_of_records(run: ReplayRun):
    size = run.capacity
    for name in FIELDS:
        stream = records(run, name)
        assert run.added == len(stream)
        for dump in run.dumps:
            rows = [row.tobytes() for row in dump.arrays[name]]
            cycle, cursor = divmod(dump.total, size)
            assert rows[:cursor] == stream[cycle * size : dump.total]
            if cycle == 0:
                assert not any(map(any, rows[cursor:]))  # never written
            else:
                assert rows[-1] == stream[cycle * size - 1]  # the slot that the dump before had no time to fill
                assert rows[cursor:-1] == stream[(cycle - 1) * size + cursor : cycle * size - 1]  # stale
    assert numbers(run) == list(range(len(run.dumps)))
    assert [dump.partial for dump in run.dumps] == [False] * (len(run.dumps) - 1) + [True]
    for dump in run.dumps[:-1]:
        assert dump.add_count % size == size - 1
    assert run.dumps[-1].add_count == run.added % size if run.cursor_at_the_end else run.added


def test_a_dump_is_lost_where_padding_jumps_over_its_moment():
    lost = []
    for slot in range(40):
        run = ReplayRun(40)
        frames, rewards = np.ones((150, 84, 84), np.uint8), np.zeros(150, np.float32)
        run.play(frames[: slot + 37], np.zeros(slot + 37, np.int32), rewards[: slot + 37])  # the next begins in `slot`
        run.play(frames, np.zeros(150, np.int32), rewards)
        run.finish() if run.added % 40 != 39 else run.play(frames[:1], np.zeros(1, np.int32), rewards[:1])
        if not run.dumps[-1].partial:
            run.finish()
        if run.cycles_lost:
            lost.append(slot)
            assert run.cycles_lost == [1]
            assert [dump.total for dump in run.dumps[:2]] == [39, 119]
    assert lost == [36, 37, 38]  # C-4 to C-2


def test_files_hold_what_the_public_ones_were_seen_to_hold(tmp_path: Path):
    run = played_run(30, random_lengths(0, 8, 20), cursor_at_the_end=True)
    logs = run.write_bucket(tmp_path)

    def array(name: str) -> np.ndarray:
        with gzip.open(logs / name) as stream:
            return np.load(stream, allow_pickle=False)

    assert {path.name for path in logs.glob("*_ckpt.0.gz")} == {
        *(f"$store$_{name}_ckpt.0.gz" for name in FIELDS),
        "add_count_ckpt.0.gz",
        "invalid_range_ckpt.0.gz",
    }
    assert array("add_count_ckpt.0.gz") == 29
    assert array("invalid_range_ckpt.0.gz").tolist() == [28, 29, 0, 1, 2]
    assert array(f"add_count_ckpt.{len(run.dumps) - 1}.gz") == run.added % 30
    shapes = {
        name: (array(f"$store$_{name}_ckpt.1.gz").dtype.name, array(f"$store$_{name}_ckpt.1.gz").shape)
        for name in FIELDS
    }
    assert shapes == {
        "observation": ("uint8", (30, 84, 84)),
        "action": ("int32", (30,)),
        "reward": ("float32", (30,)),
        "terminal": ("uint8", (30,)),
    }
