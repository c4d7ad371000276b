"""Some episodes of a part, read as if they were a part of their own: nothing of them is copied on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.dataset.columns import STEPS
from pipeline.dataset.parts import ENDS, says_ends
from pipeline.storage.contract import ReadableArray, row_bytes

NEAR_BYTES = 2**20
"""Rows that lie at most so far apart are read together: a read more takes as long as reading so much."""


class GatheredRows:
    """Runs of rows of an array on disk, one after the other.

    Args:
        array: where they lie.
        starts, stops: of each run, ascending; none is empty.
    """

    def __init__(
        self, array: ReadableArray, starts: Int64[np.ndarray, " runs"], stops: Int64[np.ndarray, " runs"]
    ) -> None:
        self._array, self._starts = array, starts
        self._ends = np.cumsum(stops - starts)
        far = max(1, NEAR_BYTES // row_bytes(array.shape, array.dtype))
        apart = np.flatnonzero(starts[1:] - stops[:-1] > far) + 1
        self._groups = np.concatenate([[0], apart, [len(starts)]]).astype(np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._array.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, rows: slice) -> Shaped[np.ndarray, "rows ..."]:
        start, stop, _ = rows.indices(len(self))
        blocks = list(self._blocks(start, max(start, stop)))
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks or [self._array[0:0]])

    def _blocks(self, start: int, stop: int) -> Iterator[Shaped[np.ndarray, "rows ..."]]:
        """The rows [start, stop), in as many reads as there are groups of near runs among them."""
        first, last = np.searchsorted(self._ends, start, "right"), np.searchsorted(self._ends, stop, "left") + 1
        groups = self._groups[(self._groups > first) & (self._groups < last)]
        for low, high in pairwise([int(first), *groups.tolist(), int(last)]) if start < stop else ():
            ends = self._ends[low:high]
            begins = ends - np.diff(ends, prepend=self._ends[low - 1] if low else 0)
            skipped = self._starts[low:high] - begins  # a row of ours lies so many rows later on disk
            begin, end = max(start, int(begins[0])), min(stop, int(ends[-1]))
            counts = np.minimum(ends, end) - np.maximum(begins, begin)
            places = np.repeat(skipped, counts) + np.arange(begin, end)
            read = self._array[int(places[0]) : int(places[-1]) + 1]
            yield read if len(read) == len(places) else read[places - places[0]]


class ChosenEpisodes(Mapping[str, ReadableArray]):
    """The arrays of a part that holds only the `chosen` of its episodes, as `pipeline.dataset.parts.pack` names them.

    Args:
        arrays: of the whole part.
        chosen: numbers of episodes in it, ascending.
    """

    def __init__(self, arrays: Mapping[str, ReadableArray], chosen: Int64[np.ndarray, " n"]) -> None:
        self._arrays, self._chosen = arrays, chosen
        self._made: dict[str, ReadableArray] = {}
        self._places: dict[str, tuple[Int64[np.ndarray, " runs"], Int64[np.ndarray, " runs"]]] = {}

    def __getitem__(self, name: str) -> ReadableArray:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __len__(self) -> int:
        return len(self._arrays)

    def _make(self, name: str) -> ReadableArray:
        array = self._arrays[name]
        if says_ends(name):
            return np.cumsum(np.diff(array[:], prepend=0)[self._chosen])
        if name.startswith("episodes/"):
            return array[:][self._chosen]
        starts, stops = self._runs(ENDS if name.startswith(STEPS) else name.removesuffix("bytes") + "ends")
        return GatheredRows(array, starts, stops)

    def _runs(self, name: str) -> tuple[Int64[np.ndarray, " runs"], Int64[np.ndarray, " runs"]]:
        """Where the chosen episodes, or texts, lie in the arrays whose ends are called `name`."""
        if name not in self._places:
            ends = self._arrays[name][:]
            stops = ends[self._chosen]
            starts = stops - np.diff(ends, prepend=0)[self._chosen]
            there = stops > starts  # a text may be empty
            self._places[name] = starts[there], stops[there]
        return self._places[name]
