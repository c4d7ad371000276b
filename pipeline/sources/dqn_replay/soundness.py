"""Whether the small files of a run fit together: what its counters say, where episodes end, and how they begin.

A file that belongs to another checkpoint has the right length and numbers that a game can have. What gives it away is
what the logger always wrote: counters that grow, and records of zeros before each episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.sources.dqn_replay.shard import PADDING, Shard, StepArrays
from pipeline.sources.quirks import Quirks
from pipeline.wording import number_ranges

Paths = Mapping[int, Mapping[str, Path]]
"""The files of each checkpoint, by field."""

ENOUGH_STARTS = 3
"""Episodes that show whether a log has padding: fewer may be quiet by chance."""


def check_counters(shards: Sequence[Shard], last: int, paths: Paths) -> None:
    """Raises InvalidInput for counters of which one must be of another checkpoint, or damaged.

    `last` is the number of the run's last checkpoint, whose counter may be its cursor alone.
    """
    counted = sorted((shard for shard in shards if shard.add_count is not None), key=lambda shard: shard.number)
    for shard in counted:
        least = (shard.number + 1) * shard.capacity - 1
        if shard.regular and _count(shard) < least:
            raise InvalidInput(
                f"{paths[shard.number]['add_count']} says that {_count(shard):,} records had been written; before "
                f"checkpoint {shard.number} at least {least:,} are. {_OTHER}"
            )
    for a, b in pairwise(counted):
        cursor = b.number == last and not b.regular and _count(b) < b.capacity
        if _count(b) <= _count(a) and not cursor:
            raise InvalidInput(
                f"{paths[b.number]['add_count']} says {_count(b):,} records, and that of checkpoint {a.number}, which "
                f"was written before, {_count(a):,}. {_OTHER}"
            )


def check_old_rows(shard: Shard, steps: StepArrays, before: StepArrays | None, last: int, path: Path) -> None:
    """Raises InvalidInput where a counter in the middle of a run calls rows old that the checkpoint before has not.

    Only the last checkpoint of a run is written before its cycle is full; `before` is the one before it, if that is
    known, and zeros before the first.
    """
    if shard.number == last or shard.regular or before is None or len(before.action) != shard.capacity:
        return
    old = slice(shard.rows, shard.capacity - 1)
    if not all((mine[old] == theirs[old]).all() for mine, theirs in zip(steps, before, strict=True)):
        raise InvalidInput(
            f"{path} says {shard.add_count:,} records, so that only the first {shard.rows:,} rows of checkpoint "
            f"{shard.number} were new; but the others are not those of the checkpoint before. {_OTHER}"
        )


def check_ends(shard: Shard, path: Path) -> None:
    """Raises InvalidInput where each row of a whole cycle ends an episode."""
    if len(shard.ends) == shard.capacity - 1:
        raise InvalidInput(
            f"{path} says that each of {len(shard.ends):,} rows ends an episode, which no game can do. "
            f"The file is of another kind, or damaged: copy it again."
        )


def check_starts(shards: Sequence[Shard], paths: Paths) -> None:
    """Raises InvalidInput where some checkpoints have padding before each episode, and another has not.

    Its actions, rewards or flags are then not those that its other files were written with.
    """
    whole = [shard for shard in shards if shard.starts and not shard.bare_starts]
    if sum(shard.starts for shard in whole) < ENOUGH_STARTS:
        return
    for shard in shards:
        if shard.bare_starts * 2 > shard.starts > 1:
            files = paths[shard.number]
            raise InvalidInput(
                f"{shard.bare_starts} of {shard.starts} episodes in checkpoint {shard.number} do not begin with "
                f"{PADDING} records of zeros; in {_checkpoints(whole)} all do. {files['action']}, or the file "
                f"of its rewards or of its terminal flags, is of another checkpoint or log: copy them again."
            )


def note_oddities(shards: Sequence[Shard], last: int, quirks: Quirks) -> None:
    """Count what may be an error of the files, and may be not."""
    if bare := [shard for shard in shards if shard.bare_starts]:
        quirks.note(
            "starts_without_padding",
            f"{{count}} of {sum(shard.starts for shard in shards):,} episodes that begin inside {_checkpoints(shards)} "
            f"have no {PADDING} records of zeros before them, as the logger wrote: action, reward or terminal files of "
            f"{_checkpoints(bare)} may be of another log",
            sum(shard.bare_starts for shard in bare),
            rule="read as they are",
        )
    short = {shard.number: int(np.count_nonzero(np.diff(shard.ends) <= PADDING)) for shard in shards}
    if any(short.values()):
        where = _checkpoints([shard for shard in shards if short[shard.number]])
        quirks.note(
            "short_episodes",
            f"{{count}} episodes of {where} are no longer than the {PADDING} records of zeros that the logger wrote "
            f"before each: the terminal flags may be of another log",
            sum(short.values()),
            rule="read as they are",
        )
    partial = [shard for shard in shards if not shard.regular and shard.number != last]
    if partial:
        quirks.note(
            "partial_inside",
            f"{_checkpoints(partial)}, with others after it, was not written at the end of a cycle, as its add_count "
            f"says: only its first {{count}} rows were read",
            sum(shard.rows for shard in partial),
            rule="add_count says which rows are new",
        )


def _checkpoints(shards: Sequence[Shard]) -> str:
    """`checkpoint 3`, or `checkpoints 0-2, 5`."""
    return f"checkpoint{'s' if len(shards) > 1 else ''} {number_ranges(shard.number for shard in shards)}"


def _count(shard: Shard) -> int:
    assert shard.add_count is not None
    return shard.add_count


_OTHER = (
    "One of its files is of another checkpoint, or damaged: copy them again. Without any add_count files each "
    "checkpoint is read alone."
)
