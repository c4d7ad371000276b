"""Which rows a batch is made of, as runs of rows that follow one another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pipeline.views.origins import Origins

RunsInto = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Runs(NamedTuple):
    """Rows [start, start + count) of each episode, which go to the rows of a batch from `at` on."""

    episodes: Int64[np.ndarray, " runs"]
    starts: Int64[np.ndarray, " runs"]
    counts: Int64[np.ndarray, " runs"]
    at: Int64[np.ndarray, " runs"]

    def rows(self) -> Int64[np.ndarray, " rows"]:
        """All rows of the batch that they go to."""
        first = np.cumsum(self.counts) - self.counts
        return np.repeat(self.at - first, self.counts) + np.arange(int(self.counts.sum()))

    def before(self, out: Shaped[np.ndarray, "rows ..."]) -> RunsInto:
        """As `RowReader.read` takes them, with the array that they are read into."""
        return self.episodes, self.starts, self.counts, out, self.at


@dataclass(frozen=True)
class Places:
    """The rows of the samples of a batch.

    Attributes:
        episodes: of each sample.
        rows: counted from the first of its episode; some may lie outside.
        there: which of them are read; the others are zeros.
        stack: observations that are given together.
        origins: what stands before an episode's first observation.
        at: the places of these samples in the batch; None where they are all of it, in this order.
    """

    episodes: Int64[np.ndarray, " n"]
    rows: Int64[np.ndarray, "n length"]
    there: Bool[np.ndarray, "n length"]
    stack: int
    origins: Origins
    at: Int64[np.ndarray, " n"] | None = None

    @cached_property
    def whole(self) -> bool:
        """Whether all rows are read."""
        return bool(self.there.all())

    @cached_property
    def runs(self) -> Runs:
        """Each sample's rows, those that follow one another together."""
        count, length = self.rows.shape
        follows = (np.diff(self.rows, axis=1) == 1) & self.there[:, 1:] & self.there[:, :-1]
        if follows.all() and self.whole and length:
            first_rows = np.arange(count) * length
            return Runs(self.episodes, self.rows[:, 0], np.full(count, length), self._in_batch(first_rows))
        first, last = self.there.copy(), self.there.copy()
        first[:, 1:] &= ~follows
        last[:, :-1] &= ~follows
        begins, ends = np.flatnonzero(first), np.flatnonzero(last)
        starts, counts = self.rows.reshape(-1)[begins], ends - begins + 1
        return Runs(self.episodes[begins // length], starts, counts, self._in_batch(begins))

    @cached_property
    def stacked_runs(self) -> Runs:
        """For each row that is read, the rows of its stack that its episode has."""
        places = np.flatnonzero(self.there)
        newest = self.rows.reshape(-1)[places]
        counts = np.minimum(newest + 1, self.stack)
        episodes = self.episodes[places // self.rows.shape[1]]
        return Runs(episodes, newest - counts + 1, counts, (self._in_batch(places) + 1) * self.stack - counts)

    @cached_property
    def missing(self) -> Int64[np.ndarray, " rows"]:
        """The rows of the batch that are not read."""
        return self._in_batch(np.flatnonzero(~self.there))

    def fill_stacks(self, out: Shaped[np.ndarray, "rows ..."]) -> None:
        """Write what stands in a stack before the first observation of its episode."""
        runs = self.stacked_runs
        short = np.flatnonzero(runs.counts < self.stack)
        missing = self.stack - runs.counts[short]
        begins = np.repeat(runs.at[short], missing)
        places = begins - 1 - (np.arange(len(begins)) - np.repeat(np.cumsum(missing) - missing, missing))
        again = np.repeat(self.origins.repeats(runs.episodes[short]), missing)
        out[places[again]] = out[begins[again]]
        out[places[~again]] = 0

    def _in_batch(self, rows: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
        """Rows of these samples, counted from the first one's first -> rows of the batch."""
        if self.at is None:
            return rows
        length = self.rows.shape[1]
        return self.at[rows // length] * length + rows % length
