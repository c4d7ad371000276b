"""The episodes of a dataset as flat arrays, one episode after the other, the rows that are no states among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pipeline.dataset.columns import STEPS, absent, step_arrays
from pipeline.dataset.parts import split_texts
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.resets import ARRAYS
from pipeline.dataset.resets import PRESENT as RESET_PRESENT
from pipeline.episode import PRESENT, RESET
from pipeline.storage.contract import ReadableArray


class FlatRows:
    """The step arrays of all episodes of a dataset, each as one array of all their rows (T+1 of an episode).

    Attributes:
        specs: one row of each array, by name. Where an episode lacks an info, zeros stand there, and its mask is False.
        ends: cumulative rows of the episodes.
    """

    def __init__(self, dataset: EpisodeDataset) -> None:
        self.dataset, self.specs = dataset, dataset.rows()
        self.ends: Int64[np.ndarray, " n"] = np.cumsum(dataset.lengths + 1)

    def read(self, name: str, start: int, stop: int) -> Shaped[np.ndarray, "rows ..."]:
        """Rows [start, stop) of an array."""
        row = self.specs[name]
        out = np.empty((stop - start, *row.shape), row.dtype)
        if stop <= start:
            return out
        episodes = np.searchsorted(self.ends, (start, stop - 1), "right")
        for numbers, arrays in self.dataset.parts_between(int(episodes[0]), int(episodes[1]) + 1):
            offset = int(self.ends[numbers.start - 1]) if numbers.start else 0
            begin, end = max(start, offset), min(stop, int(self.ends[min(numbers.stop, len(self.ends)) - 1]))
            out[begin - start : end - start] = self._block(name, arrays, begin, end, offset)
        return out

    def lasts(self, start: int, stop: int) -> Int64[np.ndarray, " k"]:
        """Which of the rows [start, stop), counted from `start`, are the last ones of their episodes."""
        first, last = np.searchsorted(self.ends, (start + 1, stop + 1))
        return self.ends[first:last] - 1 - start

    def _block(
        self, name: str, arrays: Mapping[str, ReadableArray], begin: int, end: int, offset: int
    ) -> Shaped[np.ndarray, "rows ..."]:
        """Rows [begin, end) of all, which lie in one part whose first row is number `offset`."""
        if f"{STEPS}{name}" in arrays:
            return arrays[f"{STEPS}{name}"][begin - offset : end - offset]
        block = absent(name, self.specs[name], step_arrays(arrays), end - begin)
        if name.startswith(PRESENT):
            block[self.lasts(begin, end)] = False
        return block


def texts_between(dataset: EpisodeDataset, name: str, start: int, stop: int) -> list[str]:
    """A once-per-episode text of the episodes [start, stop); empty where a part has none of that name."""
    found: list[str] = []
    for numbers, arrays in dataset.parts_between(start, stop):
        texts = [""] * len(numbers)
        if f"texts/{name}/ends" in arrays:
            texts = split_texts(arrays[f"texts/{name}/bytes"][:], arrays[f"texts/{name}/ends"][:])
        found += texts[max(start - numbers.start, 0) : stop - numbers.start]
    return found


def resets_between(
    dataset: EpisodeDataset, start: int, stop: int
) -> Iterator[tuple[str, Shaped[np.ndarray, "n ..."], Bool[np.ndarray, " n"]]]:
    """The reset infos of the episodes [start, stop): name, values with zeros where one has none, and which have it."""
    count = stop - start
    for prefixed, row in dataset.reset_specs().items():
        name = prefixed.removeprefix(RESET)
        values, present = np.zeros((count, *row.shape), row.dtype), np.zeros(count, np.bool_)
        for numbers, arrays in dataset.parts_between(start, stop):
            if (array := arrays.get(f"{ARRAYS}{name}")) is None:
                continue
            begin, end = max(start, numbers.start), min(stop, numbers.stop)
            own = slice(begin - numbers.start, end - numbers.start)
            values[begin - start : end - start] = array[own]
            mask = arrays.get(f"{RESET_PRESENT}{name}")
            present[begin - start : end - start] = True if mask is None else mask[own]
        yield name, values, present
