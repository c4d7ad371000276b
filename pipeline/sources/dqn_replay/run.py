"""One run of a game as it is there: its checkpoints, which of them are whole, and which follow each other in time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.sources.dqn_replay.bucket import NEEDED, Listing, LogFile
from pipeline.sources.dqn_replay.shard import (
    Rules,
    Shard,
    StepArrays,
    check_steps,
    make_shard,
    new_rows,
    read_counter,
    read_steps,
    stale_rows_are_of,
)
from pipeline.sources.dqn_replay.soundness import (
    check_counters,
    check_ends,
    check_old_rows,
    check_starts,
    note_oddities,
)
from pipeline.sources.quirks import Quirks
from pipeline.wording import number_ranges

FRAMES = "observation"


class Run:
    """The checkpoints of one run.

    Attributes:
        actions: place i holds the number among all 18 of the game's own action i.
        chosen: numbers of the checkpoints that are read, in reading order.
        shards: what those say that were read so far, in reading order.
        quirks: what was odd, missing or decided, in the order in which it was met.
    """

    def __init__(self, listing: Listing, actions: tuple[int, ...], clipping: tuple[float, float]) -> None:
        self.listing, self.actions = listing, actions
        self.rules = Rules(listing.game, len(actions), clipping)
        self.chosen: list[int] = []
        self.shards: list[Shard] = []
        self.quirks = Quirks()
        names = ", ".join(listing.unknown[:3])
        self.quirks.note(
            "unknown_files",
            f"{{count}} files of other names were not looked at, such as {names}",
            len(listing.unknown),
            rule="files of the logger's names are read",
            dropped=len(listing.unknown),
            unit="files",
        )

    @property
    def label(self) -> str:
        """`Pong run 1`, for people."""
        return f"{self.listing.game} run {self.listing.run}"

    def whole_checkpoints(self) -> list[int]:
        """Numbers of those that have all files that are needed; the others are noted."""
        whole = []
        for number, files in self.listing.checkpoints.items():
            lacking = [name for name in NEEDED if name not in files]
            if lacking:
                self.quirks.note(
                    "incomplete_checkpoints",
                    f"checkpoint {number} was left out: its {' and '.join(lacking)} file is not there",
                    rule=f"needed are {', '.join(NEEDED)}",
                    dropped=1,
                    unit="checkpoints",
                )
            else:
                whole.append(number)
        present = set(self.listing.checkpoints)
        if gaps := [number for number in range(max(present, default=-1) + 1) if number not in present]:
            sentence = f"checkpoints that are not there: {number_ranges(gaps)}"
            self.quirks.note("missing_checkpoints", sentence, len(gaps), rule="those that are there are read")
        return whole

    def choose(self, asked: Sequence[int], whole: Sequence[int]) -> None:
        """Take those of the `asked` numbers that are `whole`, in that order."""
        self.chosen = [number for number in asked if number in whole]
        if missing := [number for number in asked if number not in whole]:
            self.quirks.note(
                "unavailable_checkpoints",
                f"checkpoints that were asked for and are not there: {number_ranges(missing)}",
                len(missing),
                rule="source.selection=upstream",
            )

    def files(self, number: int, frames: bool) -> list[LogFile]:
        """A checkpoint's file with frames, or its others."""
        return [file for name, file in self.listing.checkpoints[number].items() if (name == FRAMES) == frames]

    def small_files(self, numbers: Sequence[int]) -> list[LogFile]:
        """Those without frames, and those of the checkpoint with which the run's last is to be compared."""
        compared = [number - 1 for number in numbers if self._is_compared(number)]
        return [file for number in [*numbers, *compared] for file in self.files(number, frames=False)]

    def paths(self, number: int) -> dict[str, Path]:
        """Where a checkpoint's files lie, by field."""
        return {name: file.local for name, file in self.listing.checkpoints[number].items()}

    def read(self, numbers: Sequence[int], everything: bool) -> None:
        """Read the small files of some checkpoints. `everything`: all their rows count, copies and slot C-1 too."""
        known = {shard.number for shard in self.shards}
        self.shards += [self._shard(number, everything) for number in numbers if number not in known]
        if not everything:
            self._check_together()

    def joined(self) -> frozenset[tuple[int, int]]:
        """Pairs of checkpoints, of those read so far, that follow each other in time without a gap."""
        by_number = {shard.number: shard for shard in self.shards}
        return frozenset((a, b) for a, b in pairwise(sorted(by_number)) if self._follows(by_number[a], by_number[b]))

    def _check_together(self) -> None:
        """Raises InvalidInput where what was read so far contradicts itself; what is merely odd is noted."""
        last, paths = max(self.listing.checkpoints), {shard.number: self.paths(shard.number) for shard in self.shards}
        check_counters(self.shards, last, paths)
        for shard in self.shards:
            check_ends(shard, paths[shard.number]["terminal"])
        check_starts(self.shards, paths)
        for shard in self.shards:
            if not shard.regular and shard.number != last:
                steps = read_steps(paths[shard.number])
                before = self._read_before(shard.number, steps)
                check_old_rows(shard, steps, before, last, paths[shard.number]["add_count"])
        note_oddities(self.shards, last, self.quirks)

    def _read_before(self, number: int, steps: StepArrays) -> StepArrays | None:
        """The steps of the checkpoint before, zeros before the first; None where they were not read."""
        if number == 0:
            return StepArrays(*(np.zeros_like(column) for column in steps))
        return read_steps(self.paths(number - 1)) if any(each.number == number - 1 for each in self.shards) else None

    def _shard(self, number: int, everything: bool) -> Shard:
        paths = self.paths(number)
        steps, counter = read_steps(paths), read_counter(paths)
        capacity = len(steps.action)
        rows = capacity if everything else new_rows(steps, counter, self._before(number))
        check_steps(steps.rows(0, rows), paths, self.rules)
        if number > 0 and not everything:  # the run's first checkpoint has no record there
            check_steps(steps.rows(capacity - 1, capacity), paths, self.rules, first=capacity - 1)
        if rows < capacity - 1:
            self.quirks.note(
                "stale_rows",
                f"checkpoint {number} was not written at the end of a cycle: its first {rows:,} rows are new, the "
                f"{{count}} after them are older ones and were left out",
                capacity - 1 - rows,
                rule="source.rows=clean",
                dropped=capacity - 1 - rows,
                unit="rows",
            )
        if counter is None and not everything:
            alone = len(self.chosen) == 1
            self.quirks.note(
                "no_counters",
                "no add_count file: nothing proves that the checkpoint is the run's first, or where its new rows end"
                if alone
                else "no add_count files: nothing proves which checkpoints follow each other, so none were joined",
                rule="add_count tells what follows what",
            )
        return make_shard(number, steps, counter, rows)

    def _before(self, number: int) -> StepArrays | None:
        """The checkpoint before the last one, which alone can hold copies of it."""
        return read_steps(self.paths(number - 1)) if self._is_compared(number) else None

    def _is_compared(self, number: int) -> bool:
        """Whether only the checkpoint before can tell which rows of this one are new."""
        fields = self.listing.checkpoints
        if "add_count" in fields[number] or number != max(fields) or number == 0:
            return False
        if any(field not in fields.get(number - 1, {}) for field in NEEDED):
            self.quirks.note(
                "uncompared_checkpoints",
                f"checkpoint {number} may hold copies of checkpoint {number - 1}, which is not there to compare",
                rule="rows that may be copies are kept",
            )
            return False
        return True

    def _follows(self, a: Shard, b: Shard) -> bool:
        """Whether the records of `b` come right after those of `a`; where neighbours do not, that is noted."""
        neighbours = [number for number in self.listing.checkpoints if a.number < number <= b.number] == [b.number]
        if a.add_count is None or b.add_count is None or not neighbours:
            return False
        written = b.add_count - a.add_count
        why = f"add_count goes from {a.add_count:,} to {b.add_count:,}"
        if a.capacity != b.capacity or not a.regular:
            why = f"{why}; {a.number} is {'partial' if not a.regular else 'of another capacity'}"
        elif b.regular:
            if written == b.capacity:
                return True
            why = f"{why}, not on by {b.capacity:,}"
        elif written < b.capacity:  # a total lies within one cycle; less than the total before, it is the cursor alone
            if self._holds_copies_of(a, b):
                return True
            why = f"{why}, and the old rows of {b.number} are not those of {a.number}"
        sentence = f"gap between checkpoints {a.number} and {b.number}: {why}; nothing was joined there"
        self.quirks.note("gaps", sentence, rule="source.edges=stitch")
        return False

    def _holds_copies_of(self, a: Shard, b: Shard) -> bool:
        steps, before = (read_steps(self.paths(shard.number)) for shard in (b, a))
        return stale_rows_are_of(steps, b.rows, before)
