"""Files that belong to another checkpoint: refused where they contradict the others, else counted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts.artifact import Manifest
from pipeline.errors import InvalidInput
from tests import dqn_replay_files as files
from tests.dqn_replay_files import ReplayRun, played_run, write_array
from tests.pipeline.sources.dqn_replay.readings import check, numbers, random_lengths, stored

Change = Callable[[ReplayRun, Path], object]


def counter(number: int, count: int) -> Change:
    return lambda run, logs: write_array(logs / f"add_count_ckpt.{number}.gz", np.array(count))


def rows(number: int, field: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda run, logs: write_array(
        logs / f"$store$_{field}_ckpt.{number}.gz", change(run.dumps[number].arrays[field].copy())
    )


def copied(field: str, source: int, number: int) -> Change:
    return lambda run, logs: shutil.copy(
        logs / f"$store$_{field}_ckpt.{source}.gz", logs / f"$store$_{field}_ckpt.{number}.gz"
    )


def long_run() -> ReplayRun:
    run = played_run(60, random_lengths(1, 24, 14), idle=False)
    assert len(run.dumps) == 5
    assert not run.cycles_lost
    return run


def manifest(tmp_path: Path, change: Change, **source: Any) -> Manifest:
    run = long_run()
    logs = run.write_bucket(tmp_path / "files")
    change(run, logs)
    return stored(tmp_path / "files", tmp_path / "outputs", **source).manifest


def quirks_of(found: Manifest) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in found.quirks}


REFUSED: dict[str, tuple[Change, str]] = {
    "an earlier counter": (counter(2, 59), r"add_count_ckpt\.2\.gz says that 59 .* checkpoint 2 at least 179 are"),
    "a later counter": (counter(1, 299), r"add_count_ckpt\.2\.gz says 179 records, and that of checkpoint 1, .* 299"),
    "a counter twice": (counter(2, 239), r"add_count_ckpt\.3\.gz says 239 records, and that of checkpoint 2, .* 239"),
    "no records in the middle": (counter(2, 0), r"add_count_ckpt\.2\.gz says 0 records"),
    "half a cycle in the middle": (counter(2, 150), r"first 30 rows of checkpoint 2 were new; but the others are not"),
    "half a cycle at first": (counter(0, 30), r"first 30 rows of checkpoint 0 were new; but the others are not"),
    "the last before the others": (counter(4, 100), r"add_count_ckpt\.4\.gz says 100 .* checkpoint 3, .* 239"),
    "terminals everywhere": (rows(1, "terminal", np.ones_like), r"terminal_ckpt\.1\.gz says that each of 59 rows ends"),
    "actions of another checkpoint": (copied("action", 2, 1), r"in checkpoint 1 do not begin with 3 .*action_ckpt\.1"),
    "flags of another checkpoint": (copied("terminal", 0, 3), r"in checkpoint 3 do not begin with 3 records of zeros"),
    "actions of another log": (
        rows(3, "action", lambda a: 1 + a % 5),
        r"in checkpoints 0-2.* all do\. .*action_ckpt\.3",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_files_that_contradict_each_other_are_refused_by_name(tmp_path: Path, fault: str):
    change, says = REFUSED[fault]
    with pytest.raises(InvalidInput, match=says):
        manifest(tmp_path, change)


def test_what_may_be_right_is_counted(tmp_path: Path):
    def flags(array: np.ndarray) -> np.ndarray:
        array[5:25] = 1
        return array

    quirks = {
        each["name"]: each
        for each in manifest(tmp_path, rows(4, "terminal", flags), num_slices=1, quality="expert").quirks
    }
    assert quirks["short_episodes"]["count"] >= 19
    assert "episodes of checkpoint 4 are no longer than" in quirks["short_episodes"]["sentence"]
    assert quirks["starts_without_padding"]["count"] >= 15


def test_a_partial_checkpoint_with_honest_copies_in_the_middle_of_a_run_is_read_as_far_as_it_goes(tmp_path: Path):
    run = long_run()
    last = run.dumps.pop(2)
    half, cursor = {name: array.copy() for name, array in run.dumps[1].arrays.items()}, 30
    for name, array in half.items():
        array[:cursor] = last.arrays[name][:cursor]
        array[-1] = last.arrays[name][-1]
    logs = run.write_bucket(tmp_path / "files")
    for name, array in half.items():
        write_array(logs / f"$store$_{name}_ckpt.2.gz", array)
    write_array(logs / "add_count_ckpt.2.gz", np.array(120 + cursor))
    quirks = quirks_of(stored(tmp_path / "files", tmp_path / "outputs").manifest)
    assert quirks["partial_inside"]["count"] == cursor
    assert "checkpoint 2, with others after it" in quirks["partial_inside"]["sentence"]


def test_a_sound_run_has_no_oddity_and_names_its_numbers_as_ranges(tmp_path: Path):
    run = long_run()
    logs = run.write_bucket(tmp_path / "files")
    for path in logs.glob("*ckpt.[23].gz"):
        path.unlink()
    artifact = stored(tmp_path / "files", tmp_path / "outputs")
    check(artifact, files.expected_chronological(run, [0, 1, 4]))
    quirks = quirks_of(artifact.manifest)
    assert not quirks.keys() & {"starts_without_padding", "short_episodes", "partial_inside"}
    assert quirks["missing_checkpoints"]["sentence"] == "checkpoints that are not there: 2-3"
    assert numbers(run) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("edges", "says"), [("stitch", "dropped"), ("drop", "dropped"), ("keep", "kept as fragments")])
def test_nothing_is_joined_where_one_checkpoint_is_read(tmp_path: Path, edges: str, says: str):
    told = manifest(tmp_path, lambda run, logs: None, edges=edges, num_slices=1, quality="expert").warnings
    assert f"episodes that begin or end in another checkpoint {says}; " in "\n".join(told)
    assert not [each for each in told if "joined" in each]
