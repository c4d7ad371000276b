"""Which rows of which checkpoints make which episode, in the order in which they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer

from pipeline.sources.dqn_replay.shard import Shard

WHOLE, HEAD, TAIL = "whole", "head", "tail"
"""An episode, or what is left of one whose beginning (HEAD is its last rows) or end (TAIL) is not read."""


class Piece(NamedTuple):
    """Rows [start, stop) of one checkpoint, in time order."""

    shard: int
    start: int
    stop: int


@dataclass(frozen=True)
class Inside:
    """Episodes that lie one after the other inside a checkpoint: (n,) int64 first rows, and rows after the last."""

    shard: int
    starts: Int64[np.ndarray, "n"]
    stops: Int64[np.ndarray, "n"]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def slots(self) -> Int64[np.ndarray, "n"]:
        """(n,) int64, rows of each, padding included."""
        return self.stops - self.starts


@dataclass(frozen=True)
class Across:
    """One episode, or a fragment of one, in pieces of one or more checkpoints.

    Attributes:
        shard: the checkpoint that holds its first row, among whose episodes it is stored.
        may_be_padded: whether its first rows may be padding. Those of a fragment can only be the rest of a padding
            whose earlier rows are not read, so the row before them must look like padding, too.
    """

    shard: int
    pieces: tuple[Piece, ...]
    extent: str = WHOLE
    may_be_padded: bool = True

    def __len__(self) -> int:
        return 1

    @property
    def slots(self) -> Int64[np.ndarray, "1"]:
        """(1,) int64, its rows, padding included."""
        return np.asarray([sum(piece.stop - piece.start for piece in self.pieces)])


Unit = Inside | Across


@dataclass
class ReadingPlan:
    """Units in the order in which they are stored, and what is left out.

    Attributes:
        dropped: fragments that are not stored.
        dropped_slots: first rows of kept fragments, out of slot C-1, that are not stored with them.
    """

    units: list[Unit] = field(default_factory=list)
    dropped: list[Across] = field(default_factory=list)
    dropped_slots: list[Piece] = field(default_factory=list)

    def dropped_rows(self, shard: int) -> int:
        """Rows of a checkpoint that are not stored, without padding and copies."""
        pieces = [*self.dropped_slots, *(piece for fragment in self.dropped for piece in fragment.pieces)]
        return sum(piece.stop - piece.start for piece in pieces if piece.shard == shard)

    def rows_without_whole_episode(self, shards: Sequence[int]) -> dict[int, int]:
        """How many rows are dropped from each of `shards` that holds no whole stored episode."""
        inside = {unit.shard for unit in self.units if isinstance(unit, Inside)}
        rows = {shard: self.dropped_rows(shard) for shard in shards if shard not in inside}
        return {shard: count for shard, count in rows.items() if count}


def plan(
    shards: Sequence[Shard],
    joined: AbstractSet[tuple[int, int]],
    keep_fragments: bool,
) -> ReadingPlan:
    """The episodes of `shards`, which are in reading order.

    `joined` holds the pairs of numbers that follow each other in time. Of fragments, those that may be nothing but
    padding are never kept, and neither is the record in slot C-1 of a checkpoint that is joined to none before it.
    """
    by_number = {shard.number: shard for shard in shards}
    stored: dict[int, list[Unit]] = {shard.number: [] for shard in shards}
    made = ReadingPlan()
    for line in _lines(sorted(by_number), joined):
        for unit in _episodes([by_number[number] for number in line]):
            if isinstance(unit, Inside) or unit.extent == WHOLE:
                stored[unit.shard].append(unit)
                continue
            rest = _without_slot(unit, by_number[unit.shard])
            if keep_fragments and rest.pieces and not (by_number[unit.shard].quiet_tail and unit.extent == TAIL):
                stored[unit.shard].append(rest)
                made.dropped_slots += unit.pieces[: len(unit.pieces) - len(rest.pieces)]
            else:
                made.dropped.append(unit)
    made.units = [unit for shard in shards for unit in stored[shard.number]]
    return made


def as_upstream(shards: Sequence[Shard]) -> ReadingPlan:
    """Each checkpoint alone, cut after every terminal row; its head counts as an episode, its tail is left out.

    This is how d3rlpy 1.1's MDPDataset reads the arrays of d4rl-atari.
    """
    made = ReadingPlan()
    for shard in shards:
        if len(shard.ends):
            made.units.append(_inside(shard, 0, shard.ends))
        if (rest := int(shard.ends[-1]) + 1 if len(shard.ends) else 0) < shard.rows:
            made.dropped.append(Across(shard.number, (Piece(shard.number, rest, shard.rows),), TAIL))
    return made


def _without_slot(fragment: Across, first: Shard) -> Across:
    """A fragment without the record in slot C-1 of its first checkpoint, where it begins with that."""
    begins = fragment.pieces[0].start == first.capacity - 1
    return replace(fragment, pieces=fragment.pieces[1:]) if begins else fragment


def _lines(numbers: list[int], joined: AbstractSet[tuple[int, int]]) -> list[list[int]]:
    """Runs of checkpoints that follow each other without a gap."""
    lines: list[list[int]] = []
    for number in numbers:
        if lines and (lines[-1][-1], number) in joined:
            lines[-1].append(number)
        else:
            lines.append([number])
    return lines


def _episodes(line: list[Shard]) -> Iterator[Unit]:
    """All episodes and fragments of a line of checkpoints, in time order."""
    open_pieces: list[Piece] = []
    owner, extent = line[0].number, WHOLE if line[0].first_of_run else HEAD
    for shard in line:
        if not shard.first_of_run:
            owner = owner if open_pieces else shard.number
            open_pieces.append(Piece(shard.number, shard.capacity - 1, shard.capacity))
            if shard.slot_ends:
                yield Across(owner, tuple(open_pieces), extent)
                open_pieces, extent = [], WHOLE
        start, ends = 0, shard.ends
        if open_pieces or extent == HEAD:
            owner = owner if open_pieces else shard.number
            stop = int(ends[0]) + 1 if len(ends) else shard.rows
            if stop:
                open_pieces.append(Piece(shard.number, 0, stop))
            if not len(ends):
                continue
            yield Across(owner, tuple(open_pieces), extent, extent == WHOLE or line[0].slot_quiet)
            open_pieces, extent, start, ends = [], WHOLE, stop, ends[1:]
        if len(ends):
            yield _inside(shard, start, ends)
            start = int(ends[-1]) + 1
        if start < shard.rows:
            open_pieces, owner = [Piece(shard.number, start, shard.rows)], shard.number
    if open_pieces:
        # the end is missing, and perhaps the beginning, too: TAIL stands for both
        yield Across(owner, tuple(open_pieces), TAIL, extent == WHOLE or line[0].slot_quiet)


def _inside(shard: Shard, start: int, ends: Integer[np.ndarray, "n"]) -> Inside:
    stops = ends.astype(np.int64) + 1
    return Inside(shard.number, np.concatenate([[start], stops[:-1]]).astype(np.int64), stops)
