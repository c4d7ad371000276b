"""The episodes of one task on their way out as flat arrays, for the forms that keep all episodes in one array."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.flat import FlatRows, resets_between, texts_between
from pipeline.dataset.per_episode import once_of
from pipeline.episode import INFO_TEXTS, SUMMARY, TEXTS
from pipeline.errors import InvalidInput
from pipeline.formats.absent import FinalObservation, filled
from pipeline.formats.contract import Outgoing

OnceColumns = dict[str, Shaped[np.ndarray, " n"] | list[str]]
"""What episodes say once, by name, an array or list for several episodes; the columns of `once_of`."""


class FlatEpisodes:
    """What `Outgoing.episodes` gives, without going through each episode: arrays of all rows, T+1 of an episode.

    Attributes:
        specs: one row of each array, by name; see `EpisodeDataset.rows`.
        lengths: states of each episode.
        ends: cumulative rows.
        terminated: of each episode.

    Raises InvalidInput where nothing is left of an episode.
    """

    specs: dict[str, RowSpec]
    lengths: Int64[np.ndarray, " n"]
    ends: Int64[np.ndarray, " n"]
    terminated: Bool[np.ndarray, " n"]

    def __init__(self, data: Outgoing) -> None:
        self._data, self._dataset, self._stored = data, data.dataset, FlatRows(data.dataset)
        missing = ~self._dataset.per_episode("has_final_observation")
        rule = data.final_observation
        self._dropped: Bool[np.ndarray, " n"] = missing & (rule is FinalObservation.DROP)
        self._repeated: Bool[np.ndarray, " n"] = missing & (rule is FinalObservation.REPEAT)
        self.specs = self._stored.specs
        self.lengths = self._dataset.lengths - self._dropped
        if (self.lengths < 1).any():
            filled(self._dataset[int(np.argmin(self.lengths))], rule)  # says so
            raise InvalidInput("An episode has no step.")
        self.ends = np.cumsum(self.lengths + 1)
        self.terminated = self._dataset.per_episode("terminated") & ~self._dropped
        # rows that are left out before each episode
        self._shift: Int64[np.ndarray, " n"] = np.cumsum(self._dropped) - self._dropped

    @property
    def state_ends(self) -> Int64[np.ndarray, " n"]:
        """Cumulative states."""
        return self.ends - np.arange(1, len(self) + 1)

    @property
    def offsets(self) -> Int64[np.ndarray, " n"]:
        """The first row of each episode."""
        return self.ends - self.lengths - 1

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, name: str, start: int, stop: int) -> Shaped[np.ndarray, "rows ..."]:
        """Rows [start, stop) of an array."""
        if stop <= start:
            return self._stored.read(name, start, start)
        first, last = np.searchsorted(self.ends, (start, stop - 1), "right")
        begin, end = start + int(self._shift[first]), stop + int(self._shift[last])
        rows = self._stored.read(name, begin, end)
        if self._dropped[first : last + 1].any():
            rows = self._without_dropped(name, rows, begin, end, (int(first), int(last)), start)
        if name.startswith("observation") and (repeated := self._repeated[first : last + 1]).any():
            for at in self.ends[first : last + 1][repeated] - 1 - start:
                if at < len(rows):
                    rows[at] = rows[at - 1] if at else self._stored.read(name, begin - 1, begin)[0]
        return rows

    def read_states(self, name: str, start: int, stop: int, after: int = 0) -> Shaped[np.ndarray, "states ..."]:
        """The rows of the states [start, stop), which are no last rows; with `after=1` the rows after them."""
        if stop <= start:
            return self.read(name, 0, 0)
        first, last = np.searchsorted(self.state_ends, (start, stop - 1), "right")
        begin, end = start + int(first), stop + int(last)
        return np.delete(self.read(name, begin + after, end + after), self.lasts(begin, end), axis=0)

    def lasts(self, start: int, stop: int) -> Int64[np.ndarray, " k"]:
        """Which of the rows [start, stop), counted from `start`, are the last ones of their episodes."""
        first, last = np.searchsorted(self.ends, (start + 1, stop + 1))
        return self.ends[first:last] - 1 - start

    def once(self, start: int, stop: int) -> OnceColumns:
        """What `once_of` says of the episodes [start, stop), and `return`."""
        found: OnceColumns = {name: self._dataset.per_episode(name)[start:stop].copy() for name in (*SUMMARY, "return")}
        found |= {name: texts_between(self._dataset, name, start, stop) for name in (*TEXTS, INFO_TEXTS)}
        for number in start + np.flatnonzero(self._dropped[start:stop]):
            episode = filled(self._dataset[int(number)], FinalObservation.DROP)
            if self._data.held is not None:
                self._data.held.see(int(number), episode)
            for name, value in {**once_of(episode), "return": math.fsum(episode.steps["reward"])}.items():
                column: Any = found[name]
                column[number - start] = value
        return found

    def resets(
        self, start: int, stop: int
    ) -> Iterator[tuple[str, Shaped[np.ndarray, "n ..."], Bool[np.ndarray, " n"]]]:
        """The reset infos of the episodes [start, stop): name, values, and which of the episodes have it."""
        return resets_between(self._dataset, start, stop)

    def progress(self) -> Callable[[float], None]:
        """Takes the share of the rows that is written, and tells how many episodes more those are."""
        handed_out = 0

        def tell(share: float) -> None:
            nonlocal handed_out
            done = len(self) if share >= 1 else int(np.searchsorted(self.ends, share * self.rows, "right"))
            more, handed_out = done - handed_out, done
            self._data.advance(more)

        return tell

    def _without_dropped(
        self,
        name: str,
        rows: Shaped[np.ndarray, "rows ..."],
        begin: int,
        end: int,
        episodes: tuple[int, int],
        start: int,
    ) -> Shaped[np.ndarray, "rows ..."]:
        """Rows [begin, end) as they are stored, as they leave: without the last ones of some episodes."""
        first, last = episodes
        dropped = np.flatnonzero(self._dropped[first : last + 1]) + first
        gone = self._stored.ends[dropped] - 1 - begin
        rows = np.delete(rows, gone[gone < end - begin], axis=0)
        if not name.startswith("observation"):
            lasts = self.ends[dropped] - 1 - start
            rows[lasts[lasts < len(rows)]] = 0
        return rows
