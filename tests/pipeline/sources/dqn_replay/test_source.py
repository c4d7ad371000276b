"""DQN Replay: dumps of a circular buffer become the episodes that were played, as plain loops over the play tell."""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.toy import Toy
from pipeline.errors import DamagedArtifact, IdentityMismatch, InvalidInput
from pipeline.sources.dqn_replay.selection import chronological_numbers, upstream_numbers
from pipeline.sources.dqn_replay.source import DqnReplaySource
from stages import ingest
from tests import dqn_replay_files as files
from tests.contracts.bulk_source import BulkSourceContract
from tests.dqn_replay_files import FIELDS, FULL_ACTIONS, PADDING, ReplayRun, Wanted, played_run, write_array

ROOT = Path(__file__).parents[4]
TASKS = [game.lower() for game in FULL_ACTIONS]
PROPERTY: dict[str, Any] = {
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],  # runs print short; making them smaller takes minutes
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
MIXED_5 = [25, 49, 27, 3, 17]


def domain() -> Domain:
    return Domain("atari", 27_000, 5, partial(Toy, max_steps=60), TASKS, Regent(32, 5, 20, 100))


def stored(
    root: Path | str,
    outputs: Path | Workspace,
    task: str = "pong",
    episodes: int | None = None,
    workers: int | None = 1,
    dataset: str = "dqn-replay-v1",
    **source: Any,
) -> Artifact:
    """The dataset that the real stage makes of the files below `root`."""
    place = outputs if isinstance(outputs, Workspace) else Workspace(str(outputs), "bin")
    return ingest.run(
        domain=domain(),
        task=task,
        source=DqnReplaySource(root=str(root), **source),
        workspace=place,
        dataset=dataset,
        episodes=episodes,
        states=None,
        workers=workers,
        force=False,
    )


def check(artifact: Artifact, wanted: Sequence[Wanted], game: str = "Pong") -> None:
    """Every byte of the episodes, their order, and how each of them ended."""
    episodes = list(EpisodeDataset.of(artifact))
    assert [(e.length, e.end_reason) for e in episodes] == [(len(w.actions), w.end_reason) for w in wanted]
    table = artifact.manifest.parameters["source"]["actions"]
    for episode, told in zip(episodes, wanted, strict=True):
        steps, length = episode.steps, len(told.actions)
        assert set(steps) == {"observation", "action", "reward", "discount"}
        assert (steps["observation"].dtype, steps["observation"].shape) == (np.uint8, (length + 1, 84, 84))
        assert (steps["action"].dtype, steps["action"].shape) == (np.int32, (length + 1,))
        assert (steps["reward"].dtype, steps["discount"].dtype) == (np.float64, np.float64)
        assert steps["observation"][:-1].tobytes() == told.frames.tobytes()
        assert steps["action"][:-1].tolist() == told.actions.tolist()
        assert [table[action] for action in steps["action"][:-1]] == [FULL_ACTIONS[game][a] for a in told.actions]
        assert steps["reward"][:-1].tolist() == told.rewards.tolist()
        assert steps["discount"].tolist() == [1.0] * (length - 1) + [0.0 if told.terminated else 1.0, 0.0]
        assert not any(steps[name][-1].any() for name in ("observation", "action", "reward"))
        assert (episode.terminated, episode.truncated) == (told.terminated, told.truncated)
        assert not episode.has_final_observation
        assert episode.has_final_reward
        assert (episode.seed, episode.success) == (-1, -1)


def check_reading(
    run: ReplayRun, wanted: Sequence[Wanted], cache: bool = False, game: str = "Pong", **source: Any
) -> None:
    """Write the run's files, read them with these settings, and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run.write_cache(folder / "files", game) if cache else run.write_bucket(folder / "files", game)
        if wanted:
            check(stored(folder / "files", folder / "outputs", game.lower(), **source), wanted, game)
        else:
            with pytest.raises(InvalidInput, match="No episode"):
                stored(folder / "files", folder / "outputs", game.lower(), **source)


def numbers(run: ReplayRun) -> list[int]:
    return [dump.number for dump in run.dumps]


def random_lengths(seed: int, count: int, longest: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randint(1, longest) for _ in range(count)]


# The maker itself


@st.composite
def runs(
    draw: st.DrawFn, padding: bool | None = True, black: bool = True, idle: bool = True, shortest: int = 0
) -> ReplayRun:
    """Runs of up to about five dumps; episodes may span several of them."""
    capacity = draw(st.integers(30, 45))
    long = draw(st.booleans())
    fewest, most, longest = (2, 3, 2 * capacity) if long else (4, 14, 25)
    lengths = draw(st.lists(st.integers(1, longest), min_size=fewest, max_size=most))
    padded = draw(st.booleans()) if padding is None else padding
    return played_run(
        capacity,
        [max(shortest, length) for length in lengths],
        padding=PADDING if padded else 0,
        black_starts=black and padded and draw(st.booleans()),
        black_steps=black and padded and draw(st.booleans()),
        cursor_at_the_end=draw(st.booleans()),
        unfinished=draw(st.booleans()),
        idle=idle,
        seed=draw(st.integers(0, 99)),
    )


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


# Whole episodes


class TestDqnReplay(BulkSourceContract):
    domain, task = "atari", "pong"

    def write(self, folder: Path) -> None:
        played_run(80, [*random_lengths(11, 9, 40), 170, 3, 9], unfinished=True).write_bucket(folder)

    def source(self, folder: Path) -> DqnReplaySource:
        return DqnReplaySource(root=str(folder))


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


@pytest.mark.parametrize("cursor_at_the_end", [False, True])
def test_a_cycle_that_was_never_dumped_is_a_gap_and_is_noted(tmp_path: Path, cursor_at_the_end: bool):
    run = played_run(40, [20, 51, 30, 12, 50, 9, 9], cursor_at_the_end=cursor_at_the_end)
    assert run.cycles_lost == [1]
    run.write_bucket(tmp_path / "files")
    artifact = stored(tmp_path / "files", tmp_path)
    check(artifact, files.expected_chronological(run, numbers(run)))
    assert [note for note in artifact.manifest.warnings if re.search(r"\b0\b.*\b1\b", note)]


def test_a_cycle_lost_before_the_last_dump_is_a_gap_even_if_add_count_is_the_cursor(tmp_path: Path):
    run = played_run(40, [20, 20, 28, 9, 9, 8], cursor_at_the_end=True)
    assert run.cycles_lost == [1]
    assert [dump.partial for dump in run.dumps] == [False, True]
    check_reading(run, files.expected_chronological(run, numbers(run)))


@pytest.mark.parametrize("missing", FIELDS)
def test_a_checkpoint_without_one_of_its_files_is_skipped_and_noted(tmp_path: Path, missing: str):
    run = played_run(50, random_lengths(0, 30, 20), dumps=5)
    assert not run.cycles_lost
    logs = run.write_bucket(tmp_path / "files")
    (logs / f"$store$_{missing}_ckpt.2.gz").unlink()
    artifact = stored(tmp_path / "files", tmp_path)
    check(artifact, files.expected_chronological(run, [0, 1, 3, 4]))
    assert [note for note in artifact.manifest.warnings if missing in note and re.search(r"\b2\b", note)]


def test_what_was_never_written_may_hold_anything():
    run = played_run(40, random_lengths(1, 6, 30))
    for name, value in (("observation", 77), ("action", 1234), ("reward", 55.5), ("terminal", 9)):
        run.dumps[0].arrays[name][39] = value
    check_reading(run, files.expected_chronological(run, numbers(run)))


def test_an_episode_of_27000_steps_was_cut_by_the_time_limit(tmp_path: Path):
    run = ReplayRun(27_100)
    frame, zeros = np.full((84, 84), 5, np.uint8), np.zeros(27_000, np.float32)
    for length in (40, 27_000, 50):
        frames = np.broadcast_to(frame, (length, 84, 84))
        run.play(frames, np.ones(length, np.int32), zeros[:length])
    assert len(run.dumps) == 1
    run.write_bucket(tmp_path / "files")
    artifact = stored(tmp_path / "files", tmp_path)
    flags = [(e.length, e.terminated, e.truncated, e.end_reason) for e in EpisodeDataset.of(artifact)]
    assert flags == [
        (40, True, False, "terminated"),
        (27_000, False, True, "time_limit"),
        (50, True, False, "terminated"),
    ]


# Other ways of reading


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


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReplayRun, Path]:
    """A run of 51 checkpoints, 0 to 50, in the bucket's layout."""
    run = played_run(30, random_lengths(5, 400, 24), dumps=51, cursor_at_the_end=True, seed=5)
    assert len(run.dumps) == 51
    folder = tmp_path_factory.mktemp("whole")
    run.write_bucket(folder / "dqn")
    return run, folder


UPSTREAM = [
    ("random", 3, [1, 2, 3]),
    ("expert", 3, [50, 49, 48]),
    ("mixed", 1, [25]),
    ("mixed", 5, MIXED_5),
    ("mixed", 10, [*MIXED_5, 33, 32, 26, 20, 31]),
    ("mixed", 50, list(range(1, 51))),
    ("expert", None, list(range(1, 51))),
]


@pytest.mark.parametrize(("quality", "count", "chosen"), UPSTREAM)
def test_upstream_reads_the_checkpoints_of_its_authors(quality: str, count: int | None, chosen: list[int]):
    assert upstream_numbers(quality, count) == chosen


def test_upstream_chooses_49_of_50_as_its_authors_did():
    mixed = upstream_numbers("mixed", 49)
    assert mixed[:12] == [25, 49, 27, 3, 17, 33, 32, 26, 20, 31, 23, 38]
    assert set(range(1, 51)) - set(mixed) == {44}
    assert upstream_numbers("expert", 49) == list(range(50, 1, -1))
    assert upstream_numbers("random", 49) == list(range(1, 50))


@pytest.mark.parametrize(("quality", "count", "chosen"), [UPSTREAM[0], UPSTREAM[1], UPSTREAM[3]])
def test_upstream_selection_gives_upstream_rows_unless_told_otherwise(
    whole_run: tuple[ReplayRun, Path], tmp_path: Path, quality: str, count: int | None, chosen: list[int]
):
    run, folder = whole_run
    chose = {"selection": "upstream", "quality": quality, "num_slices": count}
    check(stored(folder, tmp_path / "a", **chose), files.expected_upstream(run, chosen))
    clean = stored(folder, tmp_path / "b", rows="clean", **chose)
    check(clean, files.expected_chronological(run, chosen))


def test_upstream_numbers_that_are_not_there_are_noted(tmp_path: Path):
    run = played_run(30, random_lengths(2, 400, 24), dumps=49)
    run.write_bucket(tmp_path / "files")
    artifact = stored(tmp_path / "files", tmp_path, selection="upstream", quality="expert", num_slices=4)
    check(artifact, files.expected_upstream(run, [48, 47]))
    assert [note for note in artifact.manifest.warnings if "49" in note and "50" in note]


@settings(max_examples=60, **PROPERTY)
@given(
    present=st.sets(st.integers(0, 60), min_size=1).map(sorted),
    quality=st.sampled_from(["random", "mixed", "expert"]),
    count=st.none() | st.integers(1, 70),
    seed=st.integers(0, 5),
)
def test_chronological_numbers_are_chosen_among_those_present(
    present: list[int], quality: str, count: int | None, seed: int
):
    dumps = [files.Dump(number, 0, 0, False, {}) for number in present]
    assert chronological_numbers(present, quality, count, seed) == files.chronological_numbers(
        dumps, quality, count, seed
    )


def test_chronological_selection_of_a_whole_run(whole_run: tuple[ReplayRun, Path], tmp_path: Path):
    run, folder = whole_run
    assert chronological_numbers(range(51), "expert", 3, 0) == [50, 49, 48]
    assert chronological_numbers(range(51), "random", 3, 0) == [0, 1, 2]
    assert chronological_numbers(range(51), "mixed", 51, 0) == list(range(51))
    for quality in ("random", "mixed", "expert"):
        chosen = chronological_numbers(range(51), quality, 5, 4)
        artifact = stored(folder, tmp_path / quality, quality=quality, num_slices=5, seed=4)
        check(artifact, files.expected_chronological(run, chosen))


# Where the files are


def test_the_cache_of_d4rl_atari_is_read_checkpoint_by_checkpoint():
    run = played_run(60, random_lengths(5, 14, 30), unfinished=True)
    assert not run.cycles_lost
    wanted = files.expected_per_shard(run, numbers(run))
    assert wanted != files.expected_chronological(run, numbers(run))
    check_reading(run, wanted, cache=True)
    check_reading(run, files.expected_upstream(run, range(1, 51)), cache=True, selection="upstream")


@settings(max_examples=10, **PROPERTY)
@given(run=runs())
def test_old_rows_of_the_last_dump_are_found_without_add_count(run: ReplayRun):
    assume(len(run.dumps) > 1 and not run.cycles_lost)
    copies = run.capacity - 1 - run.dumps[-1].cursor
    assume(copies > PADDING and run.copied_rows == copies)  # the last new row is not by chance like the one before
    check_reading(run, files.expected_per_shard(run, numbers(run)), cache=True)


def test_the_root_may_be_the_bucket_or_its_folder_dqn_or_a_url(whole_run: tuple[ReplayRun, Path], tmp_path: Path):
    _, folder = whole_run
    roots = [folder, folder / "dqn", f"{folder}/dqn/", f"file://{folder}", f"file://{folder}/dqn"]
    chose = {"quality": "random", "num_slices": 3}
    artifacts = [stored(root, tmp_path / str(i), cache=str(tmp_path / "c"), **chose) for i, root in enumerate(roots)]
    assert len({artifact.manifest.digest for artifact in artifacts}) == 1
    assert len(EpisodeDataset.of(artifacts[0])) > 1


@pytest.mark.parametrize("game", sorted(FULL_ACTIONS))
def test_actions_are_the_games_own_with_the_table_to_the_joystick_beside_them(game: str):
    run = played_run(40, random_lengths(8, 6, 20), actions=len(FULL_ACTIONS[game]))
    check_reading(run, files.expected_chronological(run, numbers(run)), game=game)


@pytest.mark.parametrize(
    ("task", "folder"),
    [
        ("upndown", "UpNDown"),
        ("mspacman", "MsPacman"),
        ("jamesbond", "Jamesbond"),
        ("riverraid", "Riverraid"),
        ("kungfumaster", "KungFuMaster"),
        ("montezumarevenge", "MontezumaRevenge"),
        ("journeyescape", "JourneyEscape"),
        ("bankheist", "BankHeist"),
        ("namethisgame", "NameThisGame"),
    ],
)
def test_games_are_found_under_the_names_of_the_bucket(tmp_path: Path, task: str, folder: str):
    run = played_run(40, [5, 9, 30], actions=6)
    run.write_bucket(tmp_path, folder, run=3)
    assert EpisodeDataset.of(stored(tmp_path, tmp_path / "outputs", task, run=3)).lengths.tolist() == [5, 9, 30]


def test_runs_are_kept_apart(tmp_path: Path):
    one, two = played_run(40, [5, 9, 30], seed=1), played_run(40, [8, 2, 30], seed=2)
    one.write_bucket(tmp_path / "files", run=1)
    two.write_bucket(tmp_path / "files", run=2)
    check(stored(tmp_path / "files", tmp_path / "one"), files.expected_chronological(one, [0, 1]))
    check(stored(tmp_path / "files", tmp_path / "two", run=2), files.expected_chronological(two, [0, 1]))


# Limits


@pytest.fixture(scope="module")
def limit_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReplayRun, Path, list[Wanted]]:
    """Episodes of very different lengths in three shards."""
    run = played_run(120, [9, 40, 3, 60, 12, 3, 70, 1, 33, 2, 2, 90, 5])
    assert len(run.dumps) >= 3
    folder = tmp_path_factory.mktemp("limits")
    run.write_bucket(folder)
    return run, folder, files.expected_chronological(run, numbers(run))


@pytest.mark.parametrize("count", [1, 2, 7, 12, 99])
@pytest.mark.parametrize("overflow", ["stop", "skip", "allow_last"])
def test_max_episodes_is_exact(
    limit_run: tuple[ReplayRun, Path, list[Wanted]], tmp_path: Path, count: int, overflow: str
):
    _, folder, wanted = limit_run
    artifact = stored(folder, tmp_path, max_episodes=count, overflow=overflow)
    check(artifact, files.limited(wanted, max_episodes=count))
    assert artifact.manifest.counts["episodes"] == min(count, len(wanted))


@settings(max_examples=12, **PROPERTY)
@given(
    transitions=st.integers(9, 400),
    episodes=st.none() | st.integers(1, 14),
    overflow=st.sampled_from(["stop", "skip", "allow_last"]),
    edges=st.sampled_from(["stitch", "keep"]),
)
def test_max_transitions_is_exact_for_each_overflow_rule(
    limit_run: tuple[ReplayRun, Path, list[Wanted]],
    transitions: int,
    episodes: int | None,
    overflow: str,
    edges: str,
):
    run, folder, wanted = limit_run
    if edges == "keep":
        wanted = files.expected_fragments(run, numbers(run))
    limits = {"max_episodes": episodes, "max_transitions": transitions, "overflow": overflow}
    with tempfile.TemporaryDirectory() as outputs:
        artifact = stored(folder, Path(outputs), edges=edges, **limits)
        check(artifact, files.limited(wanted, **limits))


def test_limits_count_rows_as_they_are_stored(limit_run: tuple[ReplayRun, Path, list[Wanted]], tmp_path: Path):
    run, folder, _ = limit_run
    wanted = files.expected_upstream(run, numbers(run))
    total = sum(len(episode.actions) for episode in wanted[:5])
    assert len(files.limited(wanted, max_transitions=total)) == 5
    check(stored(folder, tmp_path, rows="upstream", max_transitions=total), wanted[:5])


@pytest.mark.parametrize(("overflow", "ok"), [("stop", False), ("skip", False), ("allow_last", True)])
def test_a_limit_below_the_first_episode(
    limit_run: tuple[ReplayRun, Path, list[Wanted]], tmp_path: Path, overflow: str, ok: bool
):
    _, folder, wanted = limit_run
    if ok:
        check(stored(folder, tmp_path, max_transitions=8, overflow=overflow), wanted[:1])
    elif overflow == "stop":
        with pytest.raises(InvalidInput):
            stored(folder, tmp_path, max_transitions=8, overflow=overflow)
    else:
        check(stored(folder, tmp_path, max_transitions=8, overflow=overflow), [wanted[2], wanted[5], wanted[7]])


# One digest


@pytest.fixture(scope="module")
def digest_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Wanted]]:
    """A run, and the digest of all its episodes."""
    run = played_run(80, [*random_lengths(11, 14, 40), 170, 3, 9, 20, 200, 4, 12, 7, 30], black_starts=True)
    folder = tmp_path_factory.mktemp("digests")
    run.write_bucket(folder / "files")
    wanted = files.expected_chronological(run, numbers(run))
    assert len(wanted) > 12
    artifact = stored(folder / "files", folder)
    check(artifact, wanted)
    return folder / "files", artifact.manifest.digest, wanted


@pytest.mark.parametrize(("workers", "storage"), [(1, "zarr"), (2, "bin"), (2, "zarr"), (3, "bin"), (None, "bin")])
def test_one_digest_for_any_workers_and_storage(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, workers: int | None, storage: str
):
    folder, digest, _ = digest_run
    artifact = stored(folder, Workspace(str(tmp_path), storage), workers=workers)
    assert artifact.manifest.digest == digest


@pytest.mark.parametrize("episodes", [None, 10])
def test_the_other_storage_takes_parts_and_what_is_told_of_them_over(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, episodes: int | None
):
    folder, digest, wanted = digest_run
    first = stored(folder, Workspace(str(tmp_path), "bin"))
    monkeypatch.setattr("pipeline.sources.dqn_replay.reading.run_job", None)  # would fail if a checkpoint were read
    taken = stored(folder, Workspace(str(tmp_path), "zarr"), episodes=episodes)
    check(taken, wanted[:episodes])
    if episodes is None:
        assert taken.path != first.path
        assert taken.manifest.digest == digest
        assert taken.manifest.parts == first.manifest.parts
        assert taken.manifest.counts == first.manifest.counts
        assert taken.manifest.warnings == first.manifest.warnings


@pytest.mark.parametrize("workers", [1, 2])
def test_growth_in_steps_gives_the_digest_of_one_go(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, workers: int
):
    folder, digest, wanted = digest_run
    for episodes in (3, 10):
        artifact = stored(folder, tmp_path, episodes=episodes, workers=workers)
        check(artifact, wanted[:episodes])
        assert artifact.manifest.counts["episodes"] == episodes
    grown = stored(folder, tmp_path, workers=workers)
    assert grown.built
    assert grown.manifest.digest == digest
    assert EpisodeDataset.of(grown).digest(3) == stored(folder, tmp_path / "3", episodes=3).manifest.digest


@pytest.mark.parametrize("workers", [1, 2])
def test_a_limit_gives_the_digest_of_a_prefix(digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, workers: int):
    folder, _, wanted = digest_run
    prefix = stored(folder, tmp_path / "prefix", episodes=7).manifest.digest
    transitions = sum(len(episode.actions) for episode in wanted[:7])
    for name, limit in (("episodes", {"max_episodes": 7}), ("transitions", {"max_transitions": transitions})):
        assert stored(folder, tmp_path / name, workers=workers, **limit).manifest.digest == prefix


@pytest.mark.parametrize("limit", [{}, {"max_episodes": 7}, {"max_transitions": 60, "overflow": "skip"}])
def test_a_second_run_finds_the_dataset_and_builds_nothing(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, limit: dict[str, Any]
):
    folder, _, _ = digest_run
    first = stored(folder, tmp_path, **limit)
    stamps = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    second = stored(folder, tmp_path, workers=2, **limit)
    assert (first.built, second.built) == (True, False)
    assert {path: path.stat().st_mtime_ns for path in second.path.rglob("*")} == stamps


@pytest.mark.parametrize(
    "change",
    [
        {"run": 2},
        {"quality": "expert", "num_slices": 2},
        {"edges": "drop"},
        {"rows": "upstream"},
        {"selection": "upstream"},
        {"max_transitions": 100},
    ],
)
def test_other_settings_are_another_dataset(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, change: dict[str, Any]
):
    folder, _, _ = digest_run
    stored(folder, tmp_path, episodes=2)
    files.played_run(40, [5, 9, 30]).write_bucket(tmp_path / "more", run=2)
    with pytest.raises(IdentityMismatch, match=r"source\.(run|checkpoints|edges|rows|max_transitions)"):
        stored(tmp_path / "more" if "run" in change else folder, tmp_path, episodes=2, **change)


CHILD = """
import sys
from pathlib import Path
import pipeline.dataset.writer
from tests.pipeline.live.child import kill_before_change
from tests.pipeline.sources.dqn_replay.test_source import stored
if __name__ == "__main__":
    pipeline.dataset.writer.PART_EPISODES = 4
    files, outputs, workers, kill_at = sys.argv[1:]
    changes = kill_before_change(int(kill_at))
    print("ready", flush=True)
    stored(files, Path(outputs), workers=int(workers))
    print(changes(), flush=True)
"""


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a program that ingests, and may kill itself before its n-th change of the file system."""
    script = tmp_path / "killed.py"
    script.write_text(CHILD)

    def start(files: Path, outputs: Path, workers: int, kill_at: int) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(script), str(files), str(outputs), str(workers), str(kill_at)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    return start


def test_a_run_that_is_killed_again_and_again_gives_the_same_digest(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
):
    folder, digest, _ = digest_run
    changes = int(child(folder, tmp_path / "calm", 1, 0).communicate()[0].split()[-1])
    for kill_at in (changes // 3, changes // 3, changes // 4):
        killed = child(folder, tmp_path / "stormy", 1, kill_at)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
    assert stored(folder, tmp_path / "stormy").manifest.digest == digest


@pytest.mark.parametrize("before_the_end", [0.02, 0.05, 0.08, 0.11])
def test_a_run_that_is_killed_while_it_commits_gives_the_same_digest(
    digest_run: tuple[Path, str, list[Wanted]],
    tmp_path: Path,
    child: Callable[..., subprocess.Popen[str]],
    before_the_end: float,
):
    folder, digest, _ = digest_run
    changes = int(child(folder, tmp_path / "calm", 1, 0).communicate()[0].split()[-1])
    killed = child(folder, tmp_path / "stormy", 1, int(changes * (1 - before_the_end)))
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert stored(folder, tmp_path / "stormy").manifest.digest == digest


def test_a_run_with_workers_that_is_killed_at_any_moment_gives_the_same_digest(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
):
    folder, digest, _ = digest_run
    for seconds in (0.2, 0.7, 1.5):
        running = child(folder, tmp_path / "out", 2, 0)
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
        running.communicate()
        assert running.returncode in (0, -signal.SIGKILL)
    assert stored(folder, tmp_path / "out", workers=2).manifest.digest == digest


# What cannot be read


class Spring:
    """Touches a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@pytest.fixture
def small(tmp_path: Path) -> tuple[ReplayRun, Path]:
    """A run of three checkpoints, and the folder of its files."""
    run = played_run(40, [8, 30, 12, 9, 21, 2, 9])
    assert len(run.dumps) == 3
    return run, run.write_bucket(tmp_path / "files")


def refusal(small: tuple[ReplayRun, Path], tmp_path: Path, workers: int = 1) -> str:
    """The message with which the importer refuses the files."""
    with pytest.raises((InvalidInput, DamagedArtifact)) as caught:
        stored(tmp_path / "files", tmp_path / "outputs", workers=workers)
    assert not list((tmp_path / "outputs").rglob("manifest.json"))
    return str(caught.value)


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut in the trailer": lambda data: data[:-3],
    "cut in the data": lambda data: data[: len(data) // 2],
    "cut in the header": lambda data: data[:6],
    "wrong checksum": lambda data: flipped(data, -7),
    "wrong length": lambda data: flipped(data, -2),
    "a changed byte": lambda data: flipped(data, len(data) // 2),
    "not gzip": lambda data: b"<html>404 Not Found</html>" * 9,
    "nothing": lambda data: b"",
    "gzip of something else": lambda data: gzip.compress(b"not an array" * 99),
    "more behind the array": lambda data: gzip.compress(gzip.decompress(data) + b"more"),
    "more behind the stream": lambda data: data + b"more",
    "rows missing": lambda data: gzip.compress(gzip.decompress(data)[:-9]),
}


@pytest.mark.parametrize("field", ["observation", "action", "reward"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_named(small: tuple[ReplayRun, Path], tmp_path: Path, field: str, damage: str):
    path = small[1] / f"$store$_{field}_ckpt.1.gz"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    message = refusal(small, tmp_path)
    assert path.name in message
    assert "empty" in message if damage == "nothing" else "gzip" in message or "npy" in message


@pytest.mark.parametrize("damage", ["cut in the data", "not gzip", "nothing"])
def test_a_damaged_add_count_is_named(small: tuple[ReplayRun, Path], tmp_path: Path, damage: str):
    path = small[1] / "add_count_ckpt.1.gz"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert path.name in refusal(small, tmp_path)


def test_a_worker_names_the_damaged_file_too(small: tuple[ReplayRun, Path], tmp_path: Path):
    path = small[1] / "$store$_observation_ckpt.1.gz"
    path.write_bytes(DAMAGE["wrong checksum"](path.read_bytes()))
    assert path.name in refusal(small, tmp_path, workers=2)


@pytest.mark.parametrize(
    ("field", "change", "says"),
    [
        ("observation", lambda rows: rows.astype(np.float32), ["uint8", "float32"]),
        ("observation", lambda rows: rows[:, :, :83], ["84", "83"]),
        ("observation", lambda rows: rows[..., None], ["40, 84, 84, 1", "84"]),
        ("observation", lambda rows: rows[:-1], ["39", "40"]),
        ("action", lambda rows: rows.astype(np.int64), ["int32", "int64"]),
        ("action", lambda rows: rows[:, None], ["40, 1"]),
        ("action", lambda rows: rows[:-1], ["39", "40"]),
        ("reward", lambda rows: rows.astype(np.float64), ["float32", "float64"]),
        ("reward", lambda rows: rows[:-1], ["39", "40"]),
        ("terminal", lambda rows: rows.astype(np.int32), ["uint8", "int32"]),
        ("terminal", lambda rows: np.concatenate([rows, rows]), ["80", "40"]),
    ],
)
def test_arrays_of_another_kind_are_refused(
    small: tuple[ReplayRun, Path],
    tmp_path: Path,
    field: str,
    change: Callable[[np.ndarray], np.ndarray],
    says: list[str],
):
    run, logs = small
    path = logs / f"$store$_{field}_ckpt.1.gz"
    write_array(path, np.ascontiguousarray(change(run.dumps[1].arrays[field])))
    message = refusal(small, tmp_path)
    assert (path.name if "39" not in says else "_ckpt.1.gz") in message  # which of two lengths is wrong, no one knows
    for text in says:
        assert text in message


@pytest.mark.parametrize("field", ["observation", "action", "add_count"])
def test_pickled_objects_are_refused_and_never_opened(small: tuple[ReplayRun, Path], tmp_path: Path, field: str):
    path = small[1] / (f"{field}_ckpt.1.gz" if field == "add_count" else f"$store$_{field}_ckpt.1.gz")
    touched = tmp_path / "touched"
    write_array(path, np.array([Spring(str(touched))] * 40, object), allow_pickle=True)
    message = refusal(small, tmp_path)
    assert path.name in message
    assert re.search("pickle|object", message)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("action", 6, ["pong", "6"]),
        ("action", -1, ["pong", "-1"]),
        ("reward", 1.5, ["1.5", "[-1"]),
        ("reward", -2.0, ["-2", "[-1"]),
        ("reward", np.nan, ["nan", "[-1"]),
        ("terminal", 2, ["2", "0", "1"]),
    ],
)
def test_values_that_cannot_be_are_refused(
    small: tuple[ReplayRun, Path], tmp_path: Path, field: str, value: float, says: list[str]
):
    run, logs = small
    run.dumps[1].arrays[field][17] = value
    path = logs / f"$store$_{field}_ckpt.1.gz"
    write_array(path, run.dumps[1].arrays[field])
    message = refusal(small, tmp_path)
    assert path.name in message
    for text in says:
        assert text in message.lower().replace(path.name.lower(), "").replace(str(tmp_path).lower(), "")


@pytest.mark.parametrize("value", [np.array(-3), np.array(39.0), np.array("39")])
def test_an_add_count_that_counts_nothing_is_refused(small: tuple[ReplayRun, Path], tmp_path: Path, value: np.ndarray):
    path = small[1] / "add_count_ckpt.1.gz"
    write_array(path, value)
    assert path.name in refusal(small, tmp_path)


def test_arrays_in_the_order_of_fortran_are_read_right_or_refused(small: tuple[ReplayRun, Path], tmp_path: Path):
    run, logs = small
    path = logs / "$store$_observation_ckpt.1.gz"
    write_array(path, np.asfortranarray(run.dumps[1].arrays["observation"]))
    try:
        artifact = stored(tmp_path / "files", tmp_path)
    except InvalidInput as error:
        refused = str(error)
    else:
        check(artifact, files.expected_chronological(run, numbers(run)))
        return
    assert path.name in refused


@pytest.mark.parametrize(("task", "run", "says"), [("breakout", 1, "Breakout"), ("pong", 4, "4")])
def test_a_game_or_run_that_is_not_there(small: tuple[ReplayRun, Path], tmp_path: Path, task: str, run: int, says: str):
    with pytest.raises(InvalidInput, match=says) as caught:
        stored(tmp_path / "files", tmp_path / "outputs", task=task, run=run)
    assert str(tmp_path / "files") in str(caught.value)


@pytest.mark.parametrize("task", ["defender", "surround"])
def test_games_that_the_dataset_lacks_are_refused(small: tuple[ReplayRun, Path], tmp_path: Path, task: str):
    with pytest.raises(InvalidInput, match=task):
        stored(tmp_path / "files", tmp_path / "outputs", task)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("quality", "best"),
        ("selection", "newest"),
        ("rows", "dirty"),
        ("edges", "blur"),
        ("overflow", "wrap"),
        ("num_slices", 0),
        ("max_episodes", 0),
        ("max_transitions", -1),
        ("run", 0),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    small: tuple[ReplayRun, Path], tmp_path: Path, setting: str, value: Any
):
    with pytest.raises(InvalidInput, match=setting):
        stored(tmp_path / "files", tmp_path / "outputs", **{setting: value})


@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_a_disk_that_is_too_small_is_told_before_anything_is_read(
    small: tuple[ReplayRun, Path], tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=50)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InvalidInput, match=r"rows need about .*B as storage.* 50 B are free in .*paths\.root"):
        stored(tmp_path / "files", Workspace(str(tmp_path / "outputs"), storage))
    assert not list((tmp_path / "outputs").rglob("job.json"))


def test_what_is_left_out_is_counted_or_told(tmp_path: Path):
    run = played_run(40, [30, 90, 20, 25], unfinished=True)
    run.write_bucket(tmp_path / "files")
    manifest = stored(tmp_path / "files", tmp_path / "each", edges="drop").manifest
    kept = sum(len(wanted.actions) + PADDING for wanted in files.expected_per_shard(run, numbers(run)))
    rows = sum(min(dump.total - dump.start, dump.capacity - 1) for dump in run.dumps)
    told = [re.search(r"alone; ([0-9,]+) of its rows", note) for note in manifest.warnings]
    silent = [int(found[1].replace(",", "")) for found in told if found]
    assert silent
    assert kept + manifest.counts.get("dropped_rows", 0) + sum(silent) == rows


def test_where_nothing_is_left_the_message_says_what_was_left_out(tmp_path: Path):
    played_run(40, [30, 90, 20, 25], unfinished=True).write_bucket(tmp_path / "files")
    with pytest.raises(InvalidInput, match=r"nothing was written\.[\s\S]*no whole episode lies in checkpoint"):
        stored(tmp_path / "files", tmp_path / "outputs", quality="expert", num_slices=1)
