"""What one checkpoint says without its frames: where episodes end, which rows are new, and which follow in time.

A checkpoint is a snapshot of a circular buffer of C slots, so C rows. A regular one was taken right after slot C-2 was
written: rows 0..C-2 are in time order, and slot C-1 still holds the last record of the cycle before, which lies between
row C-2 of the checkpoint before and row 0 of this one. The last checkpoint of a run was taken wherever the training
ended: only the rows before its cursor are new. (google/dopamine, circular_replay_buffer.py, as of July 2019)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Num

from pipeline.errors import InvalidInput
from pipeline.sources.dqn_replay.files import read_number, read_whole

PADDING = 3
"""Records of zeros that the logger wrote before the first of each episode: its stack of four frames, less one."""

SAME_ROWS = PADDING + 1
"""Without a counter, this many last rows that equal those of the checkpoint before count as copies: no copied episode
is shorter. If they are equal by chance, little is lost: they belong to a tail whose end is not read.
"""


class StepArrays(NamedTuple):
    """Rows of a checkpoint without frames: (n,) int32 actions, (n,) float32 rewards, (n,) uint8 terminal flags."""

    action: np.ndarray
    reward: np.ndarray
    terminal: np.ndarray

    def rows(self, start: int, stop: int) -> StepArrays:
        """The rows [start, stop)."""
        return StepArrays(self.action[start:stop], self.reward[start:stop], self.terminal[start:stop])

    @property
    def quiet(self) -> int:
        """How many of the first rows, at most PADDING, do nothing: they are padding if their frames are black."""
        rows = [*zip(*(column[:PADDING].tolist() for column in self), strict=True)]
        return next((number for number, row in enumerate(rows) if any(row)), len(rows))


@dataclass(frozen=True)
class Rules:
    """What the numbers of a game's checkpoints must be: `actions` are 0 .. actions-1, rewards in `clipping`."""

    game: str
    actions: int
    clipping: tuple[float, float]


@dataclass(frozen=True)
class Shard:
    """One checkpoint.

    Attributes:
        capacity: C, its rows.
        rows: so many of its first rows are read.
        ends: (n,) int64, which of those end an episode, ascending.
        slot_ends: whether the record in slot C-1 ends an episode.
        slot_quiet: whether it does nothing, and so may be padding.
        quiet: whether its first PADDING rows do nothing.
        quiet_tail: whether the rows after the last end do nothing, and are no more than PADDING.
        starts: episodes that begin after the end of another, whose first PADDING rows are read.
        bare_starts: those of them that do something in these rows, and so have no padding.
        add_count: records that the run had written, where a counter tells; the last checkpoint of a run may hold its
            cursor instead.
    """

    number: int
    capacity: int
    rows: int
    ends: np.ndarray
    slot_ends: bool
    slot_quiet: bool
    quiet: bool
    quiet_tail: bool
    starts: int
    bare_starts: int
    add_count: int | None

    @property
    def regular(self) -> bool:
        """Whether it was taken right after slot C-2 was written, as far as the counter tells."""
        return self.add_count is None or self.add_count % self.capacity == self.capacity - 1

    @property
    def first_of_run(self) -> bool:
        """Whether row 0 is the run's first record, so that slot C-1 was never written."""
        if self.add_count is None:
            return self.number == 0 and self.quiet and not self.slot_ends
        return self.add_count < self.capacity and (self.regular or self.number == 0)


def read_steps(files: Mapping[str, Path]) -> StepArrays:
    """Actions, rewards and terminal flags of a checkpoint."""
    action = read_whole(files["action"], np.int32)
    like = (len(action), files["action"])
    reward, terminal = read_whole(files["reward"], np.float32, like), read_whole(files["terminal"], np.uint8, like)
    if len(action) < PADDING:
        raise InvalidInput(f"{files['action']} holds {len(action)} rows; a checkpoint holds far more.")
    return StepArrays(action, reward, terminal)


def check_steps(steps: StepArrays, files: Mapping[str, Path], rules: Rules, first: int = 0) -> None:
    """Raises InvalidInput for what a game cannot have; `first` is the number of the first row. Rows that were never
    written may hold anything, and are not to be asked about.
    """
    action, reward, terminal = steps
    if bad := _first(action, (action < 0) | (action >= rules.actions)):
        raise InvalidInput(
            f"{files['action']}: action {bad.value} in row {first + bad.row}, but {rules.game} has the actions 0 to "
            f"{rules.actions - 1}. The file is of another game, or damaged."
        )
    low, high = rules.clipping
    if bad := _first(reward, ~((reward >= low) & (reward <= high))):
        raise InvalidInput(
            f"{files['reward']}: reward {bad.value} in row {first + bad.row}; the dataset's rewards are clipped to "
            f"[{low:g}, {high:g}]. The file is of another log, or damaged."
        )
    if bad := _first(terminal, terminal > 1):
        raise InvalidInput(f"{files['terminal']}: {bad.value} in row {first + bad.row}; a terminal flag is 0 or 1.")


def read_counter(files: Mapping[str, Path]) -> int | None:
    """The checkpoint's add_count, where the file is there."""
    return read_number(files["add_count"]) if "add_count" in files else None


def make_shard(number: int, steps: StepArrays, add_count: int | None, rows: int) -> Shard:
    """A checkpoint of which the first `rows` are read."""
    ends = np.flatnonzero(steps.terminal[:rows])
    tail = steps.rows(int(ends[-1]) + 1 if len(ends) else 0, rows)
    starts = ends[ends + PADDING < rows] + 1
    begun = starts[:, None] + np.arange(PADDING)
    return Shard(
        number,
        capacity=len(steps.action),
        rows=rows,
        ends=ends,
        slot_ends=bool(steps.terminal[-1]),
        slot_quiet=steps.rows(len(steps.action) - 1, len(steps.action)).quiet == 1,
        quiet=steps.rows(0, rows).quiet == PADDING,
        quiet_tail=tail.quiet == len(tail.action),
        starts=len(starts),
        bare_starts=int(np.any([column[begun] != 0 for column in steps], axis=(0, 2)).sum()),
        add_count=add_count,
    )


def new_rows(steps: StepArrays, add_count: int | None, before: StepArrays | None) -> int:
    """How many of the first rows are in time order and no copies of the checkpoint `before`.

    The counter tells. Without one, a long run of last rows that are those of the checkpoint before does; the few
    rows before it that are alike by chance are left out as well.
    """
    capacity = len(steps.action)
    if add_count is not None:
        return capacity - 1 if add_count % capacity == capacity - 1 else add_count % capacity
    if before is None or len(before.action) != capacity:
        return capacity - 1
    same = _last_rows_alike(steps, before)
    return capacity - 1 - same if same >= SAME_ROWS else capacity - 1


def stale_rows_are_of(steps: StepArrays, rows: int, before: StepArrays) -> bool:
    """Whether the rows from `rows` to C-2 equal those of the checkpoint `before`: then no cycle lies between them."""
    return len(before.action) == len(steps.action) and _last_rows_alike(steps, before) >= len(steps.action) - 1 - rows


def _last_rows_alike(steps: StepArrays, before: StepArrays) -> int:
    """How many rows, counted backwards from C-2, agree in action, reward and terminal flag."""
    alike = np.ones(len(steps.action) - 1, np.bool_)
    for mine, theirs in zip(steps, before, strict=True):
        alike &= mine[:-1] == theirs[:-1]
    return len(alike) if alike.all() else int(np.argmin(alike[::-1]))


class _Bad(NamedTuple):
    row: int
    value: float


def _first(values: Num[np.ndarray, "n"], wrong: Bool[np.ndarray, "n"]) -> _Bad | None:
    if not len(values):
        return None
    row = int(np.argmax(wrong))
    return _Bad(row, values[row].item()) if wrong[row] else None
