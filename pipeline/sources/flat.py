"""Episodes out of flat arrays, in which they lie one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.dataset.columns import without_absent
from pipeline.dataset.per_episode import with_once
from pipeline.episode import INFO, PRESENT, Episode
from pipeline.errors import InvalidEpisode, InvalidInput

WINDOW_BYTES = 16 * 2**20
"""Raw bytes of all arrays that are read at a time; an episode is never cut."""

FLAG_ROWS = 2**20
"""Rows of flags that are read at a time."""

Arrays = dict[str, Shaped[np.ndarray, "rows ..."]]


@dataclass(frozen=True)
class EpisodeBounds:
    """Where the episodes lie, each number for one episode.

    Attributes:
        starts, stops: its rows.
        cut: it has as many rows as transitions: what came after the last one is missing.
        terminated, truncated: why it ended.
    """

    starts: Int64[np.ndarray, " n"]
    stops: Int64[np.ndarray, " n"]
    cut: Bool[np.ndarray, " n"]
    terminated: Bool[np.ndarray, " n"]
    truncated: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Int64[np.ndarray, " n"]:
        """Transitions of each."""
        return self.stops - self.starts - ~self.cut

    def where(self, chosen: Bool[np.ndarray, " n"]) -> EpisodeBounds:
        """Those of some of the episodes."""
        return EpisodeBounds(*(getattr(self, each)[chosen] for each in self.__dataclass_fields__))

    def windows(self, start: int, row_bytes: int) -> Iterator[tuple[int, int]]:
        """Ranges of episodes from number `start` on whose rows have at most `WINDOW_BYTES`, or one episode."""
        rows = max(1, WINDOW_BYTES // max(1, row_bytes))
        while start < len(self):
            stop = max(start + 1, int(np.searchsorted(self.stops, self.starts[start] + rows, "right")))
            yield start, stop
            start = stop


def with_last_rows(
    arrays: Arrays, bounds: EpisodeBounds, first: int, last: int
) -> tuple[Arrays, Int64[np.ndarray, " k+1"]]:
    """The arrays of the rows from episode `first`'s first to episode `last`'s, as whole episodes of T+1 rows.

    Zeros are added to episodes that are cut, and rows of none of the episodes left out. Returns also where each episode
    begins, and where the last one ends.
    """
    starts, stops, cut = (each[first:last] for each in (bounds.starts, bounds.stops, bounds.cut))
    have = stops - starts
    places = np.concatenate([[0], np.cumsum(have + cut)])
    if not cut.any() and places[-1] == stops[-1] - starts[0]:
        return arrays, places
    before = np.cumsum(have) - have
    rows = np.arange(int(have.sum()))
    sources = rows + np.repeat(starts - starts[0] - before, have)
    targets = rows + np.repeat(places[:-1] - before, have)
    out = {}
    for name, array in arrays.items():
        out[name] = np.zeros((int(places[-1]), *array.shape[1:]), array.dtype)
        out[name][targets] = array[sources]
    return out, places


def episodes_of(
    arrays: Arrays,
    places: Int64[np.ndarray, " k+1"],
    once: Callable[[int], tuple[Mapping[str, Any], Mapping[str, Shaped[np.ndarray, "..."]]]],
    words: Callable[[int], str],
) -> Iterator[Episode]:
    """Episodes of arrays in which they lie one after the other; `once` gives what number i says once, and its reset.

    Raises InvalidEpisode for one that breaks an invariant, with what `words` says of it.
    """
    masked = any(name.startswith(PRESENT) for name in arrays)
    for number, (start, stop) in enumerate(zip(places[:-1].tolist(), places[1:].tolist(), strict=True)):
        steps = {name: array[start:stop] for name, array in arrays.items()}
        facts, resets = once(number)
        try:
            yield with_once(without_absent(steps) if masked else steps, facts, resets)
        except InvalidEpisode as error:
            raise InvalidEpisode(f"{words(number)}: {error}") from error


def in_blocks(
    read: Callable[[int, int], Shaped[np.ndarray, "rows ..."]], rows: int
) -> Iterator[Shaped[np.ndarray, " rows"]]:
    """A column of one number a row, some rows at a time."""
    return (read(at, min(at + FLAG_ROWS, rows)).reshape(-1) for at in range(0, rows, FLAG_ROWS))


def marked_rows(
    read: Callable[[int, int], Shaped[np.ndarray, "rows ..."]], rows: int, what: str
) -> Int64[np.ndarray, " k"]:
    """The rows at which a flag is set. Raises InvalidInput, with `what` it is a flag of, for one that says nothing."""
    found = []
    for at, each in enumerate(in_blocks(read, rows)):
        require_flags(each, what, at * FLAG_ROWS)
        found.append(np.flatnonzero(each) + at * FLAG_ROWS)
    return np.concatenate(found)


def require_flags(flags: Shaped[np.ndarray, " n"], what: str, first: int = 0) -> None:
    """Raises InvalidInput for a flag that is neither 0 nor 1, such as NaN, which would count as set."""
    if (other := (flags != 0) & (flags != 1)).any():
        at = int(np.argmax(other))
        raise InvalidInput(f"{what} should be 0 or 1; it is {flags[at]} at row {first + at:,}.")


def zero_at(array: Shaped[np.ndarray, "rows ..."], rows: Int64[np.ndarray, " k"]) -> Shaped[np.ndarray, "rows ..."]:
    """The array with zeros in some rows; it is changed in its place where that can be."""
    array = array if array.flags.writeable else array.copy()
    array[rows] = 0
    return array


def as_vector(array: Shaped[np.ndarray, "rows ..."]) -> Float64[np.ndarray, " rows"]:
    """(N,) or (N, 1) numbers as float64."""
    return array.reshape(-1).astype(np.float64)


def without_lone_masks(columns: dict[str, str]) -> dict[str, str]:
    """The arrays of steps without masks of infos that are not among them."""
    return {
        name: path
        for name, path in columns.items()
        if not name.startswith(PRESENT) or INFO + name.removeprefix(PRESENT) in columns
    }
