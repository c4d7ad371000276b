"""Which checkpoints are read: those of the settings, or the very files of upstream."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.dqn_replay.selection import chronological_numbers, upstream_numbers
from tests import dqn_replay_files as files
from tests.dqn_replay_files import ReplayRun, played_run
from tests.pipeline.sources.dqn_replay.readings import PROPERTY, check, random_lengths, stored

MIXED_5 = [25, 49, 27, 3, 17]


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
