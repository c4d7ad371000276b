"""The JAT row layout: episodes cut into chunks of at most B steps, one chunk a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64, Shaped


@dataclass(frozen=True)
class RowLayout:
    """Which row and column each flat state has when episodes of these lengths are cut every `width` steps.

    Rows are numbered through all episodes; an episode never shares a row with another (JAT, `tokenize_stream.py`).

    Attributes:
        lengths: states of each episode.
        width: steps in a full row.

    Episodes of five and two states in rows of three:

    >>> layout = RowLayout(np.array([5, 2]), 3)
    >>> layout.first_states.tolist(), layout.row_lengths.tolist()
    ([0, 3, 5], [3, 2, 2])
    >>> layout.gather(np.arange(3)).tolist()
    [[0, 1, 2], [3, 4, 3], [5, 6, 5]]
    >>> layout.locate(np.array([4, 5])).tolist()
    [[1, 1], [2, 0]]
    """

    lengths: Int64[np.ndarray, "episodes"]
    width: int

    @cached_property
    def rows_per_episode(self) -> Int64[np.ndarray, "episodes"]:
        """Ceil(length / width)."""
        return -(-self.lengths // self.width)

    @cached_property
    def first_states(self) -> Int64[np.ndarray, "rows"]:
        """The flat state in column 0 of each row."""
        starts = np.cumsum(self.lengths) - self.lengths
        first_rows = np.cumsum(self.rows_per_episode) - self.rows_per_episode
        within = np.arange(self.rows) - np.repeat(first_rows, self.rows_per_episode)
        return np.repeat(starts, self.rows_per_episode) + within * self.width

    @cached_property
    def row_lengths(self) -> Int64[np.ndarray, "rows"]:
        """Real steps of each row; the other columns are padding."""
        return np.diff(self.first_states, append=self.lengths.sum())

    @property
    def rows(self) -> int:
        return int(self.rows_per_episode.sum())

    @cached_property
    def starts_episode(self) -> Bool[np.ndarray, "rows"]:
        """Whether the row is the first of its episode."""
        starts = np.zeros(self.rows, np.bool_)
        starts[np.cumsum(self.rows_per_episode) - self.rows_per_episode] = True
        return starts

    def leading_rows(self, states: int) -> int:
        """The smallest number of leading rows that hold at least `states` states, or all rows."""
        return min(int(np.searchsorted(np.cumsum(self.row_lengths), states, "left")) + 1, self.rows)

    def states_in(self, rows: int) -> int:
        """How many states the first `rows` rows hold."""
        return int(self.row_lengths[:rows].sum())

    def locate(self, states: Int[np.ndarray, "*shape"]) -> Int32[np.ndarray, "*shape 2"]:
        """Row and column of some flat states."""
        rows = np.searchsorted(self.first_states, states, "right") - 1
        return np.stack([rows, states - self.first_states[rows]], axis=-1).astype(np.int32)

    def gather(self, rows: Int[np.ndarray, "n"]) -> Int64[np.ndarray, "n width"]:
        """The flat state of every column of some rows; padding repeats column 0."""
        columns = np.arange(self.width)
        real = columns < self.row_lengths[rows, None]
        return self.first_states[rows, None] + np.where(real, columns, 0)


ReadStates = Callable[[int, int], Shaped[np.ndarray, "n *shape"]]
"""(start, stop) -> one array at those flat states."""

WINDOW = 65_536
GAP = 1_024
"""States that are read and thrown away rather than reading twice."""


def read_states(read: ReadStates, states: Int[np.ndarray, "n"]) -> Shaped[np.ndarray, "n *shape"]:
    """An array at some flat states, ascending, without repeats; at least one.

    Reads stretches of at most 65,536 states, and skips what lies between states that are far apart.

    >>> squares = np.arange(10_000) ** 2
    >>> read_states(lambda start, stop: squares[start:stop], np.array([2, 3, 9_000])).tolist()
    [4, 9, 81000000]
    """
    if states[-1] - states[0] + 1 == len(states):
        return read(int(states[0]), int(states[-1]) + 1)
    jumps = np.flatnonzero((np.diff(states) > GAP) | (np.diff(states // WINDOW) > 0)) + 1
    found = [read(int(part[0]), int(part[-1]) + 1)[part - part[0]] for part in np.split(states, jumps)]
    return np.concatenate(found)
