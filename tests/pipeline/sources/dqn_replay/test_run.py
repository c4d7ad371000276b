"""What a run lacks or holds twice: gaps, missing checkpoints, old rows; what is left out is counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings

from pipeline.errors import InvalidInput
from tests import dqn_replay_files as files
from tests.dqn_replay_files import FIELDS, PADDING, ReplayRun, played_run
from tests.pipeline.sources.dqn_replay.readings import (
    PROPERTY,
    check,
    check_reading,
    numbers,
    random_lengths,
    runs,
    stored,
)


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


@settings(max_examples=10, **PROPERTY)
@given(run=runs())
def test_old_rows_of_the_last_dump_are_found_without_add_count(run: ReplayRun):
    assume(len(run.dumps) > 1 and not run.cycles_lost)
    copies = run.capacity - 1 - run.dumps[-1].cursor
    assume(copies > PADDING and run.copied_rows == copies)  # the last new row is not by chance like the one before
    check_reading(run, files.expected_per_shard(run, numbers(run)), cache=True)


@pytest.mark.parametrize("lengths", [[30, 90, 20, 25], [37, 36, 20, 25], [25, 15, 45, 37, 33]])
@pytest.mark.parametrize("edges", ["drop", "keep"])
def test_what_is_left_out_is_counted_or_told(tmp_path: Path, edges: str, lengths: list[int]):
    """Also the record in slot C-1, which comes between two checkpoints, where they are not joined."""
    run = played_run(40, lengths, unfinished=True, idle=False)
    run.write_bucket(tmp_path / "files")
    manifest = stored(tmp_path / "files", tmp_path / "each", edges=edges).manifest
    kept = manifest.counts["states"] + manifest.counts.get("padding_rows", 0)
    slots = sum(dump.start > 0 for dump in run.dumps)
    rows = sum(min(dump.total - dump.start, dump.capacity - 1) for dump in run.dumps) + slots
    told = [re.search(r"alone; ([0-9,]+) of its rows", note) for note in manifest.warnings]
    silent = [int(found[1].replace(",", "")) for found in told if found]
    assert silent
    assert kept + manifest.counts.get("dropped_rows", 0) + sum(silent) == rows


def test_where_nothing_is_left_the_message_says_what_was_left_out(tmp_path: Path):
    played_run(40, [30, 90, 20, 25], unfinished=True).write_bucket(tmp_path / "files")
    with pytest.raises(InvalidInput, match=r"nothing was written\.[\s\S]*no whole episode lies in checkpoint"):
        stored(tmp_path / "files", tmp_path / "outputs", quality="expert", num_slices=1)
