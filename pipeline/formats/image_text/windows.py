"""Which pictures of an episode a row has: neighbouring rows share one, so that no step is lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class EpisodeRows:
    """The rows of one task.

    Attributes:
        lengths: T of each episode; T-1 where the picture after the last action is shown and is not there.
        most: pictures that a row has at most; two or more.
        last: the picture after the last action is shown, too, as the target of that action: T+1 pictures for T texts.
            Else the last row of an episode has a text for its last picture, too: T pictures for T texts.
    """

    lengths: Int64[np.ndarray, "n"]
    most: int
    last: bool

    @cached_property
    def steps(self) -> Int64[np.ndarray, "n"]:
        """How often a shown picture of an episode follows another."""
        return self.lengths if self.last else self.lengths - 1

    @cached_property
    def row_ends(self) -> Int64[np.ndarray, "n"]:
        """Where the rows of each episode end."""
        rows = -(-self.steps // (self.most - 1))
        return np.cumsum(rows if self.last else np.maximum(1, rows))  # one picture teaches no step to the next

    @property
    def rows(self) -> int:
        """Of all episodes."""
        return int(self.row_ends[-1]) if len(self.row_ends) else 0

    @property
    def pictures(self) -> int:
        """Of all rows: a shared one counts twice."""
        return int(self.steps.sum()) + self.rows

    def episode_of(self, row: int) -> int:
        """The number of the episode that a row is of."""
        return int(np.searchsorted(self.row_ends, row, "right"))

    def first_row(self, episode: int) -> int:
        """The first row of an episode."""
        return int(self.row_ends[episode - 1]) if episode else 0

    def between(self, first: int, stop: int) -> RowSpans:
        """The rows from number `first` up to `stop`."""
        rows = np.arange(first, stop)
        episodes = np.searchsorted(self.row_ends, rows, "right")
        before = np.where(episodes > 0, self.row_ends[episodes - 1], 0)
        steps = self.steps[episodes]
        starts = (rows - before) * (self.most - 1)
        ends = np.minimum(starts + self.most - 1, steps)
        texts = ends - starts if self.last else ends - starts + (ends == steps)
        return RowSpans(episodes, starts, ends - starts + 1, texts)


@dataclass(frozen=True)
class RowSpans:
    """Of some rows: the episode, the number of the first picture and action in it, and how many of both a row has."""

    episodes: Int64[np.ndarray, "rows"]
    starts: Int64[np.ndarray, "rows"]
    pictures: Int64[np.ndarray, "rows"]
    texts: Int64[np.ndarray, "rows"]
