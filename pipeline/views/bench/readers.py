"""Readers of random windows that `stage=bench_loading` compares: a loop over memory maps, zarr-python, tensorstore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.artifacts.artifact import PARTS
from pipeline.dataset.columns import STEPS
from pipeline.dataset.reader import EpisodeDataset

WindowBatch = dict[str, Shaped[np.ndarray, "n length ..."]]


class PlaceReader(Protocol):
    """Reads windows of `length` states by the episode and the row at which each begins. It can be pickled."""

    def read(self, episodes: Int64[np.ndarray, " n"], starts: Int64[np.ndarray, " n"]) -> WindowBatch:
        """The windows, with an axis in front: (n, length, ...)."""


class Draws:
    """All whole windows of some episodes, and random ones among them.

    Args:
        lengths: states of each episode.
        length: states of a window.
    """

    def __init__(self, lengths: Int64[np.ndarray, " episodes"], length: int) -> None:
        self._ends = np.cumsum(np.maximum(np.asarray(lengths) - length + 1, 0))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def random(self, rng: np.random.Generator, count: int) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Episodes and first rows of so many windows, each as likely as any other."""
        return self.at(rng.integers(len(self), size=count))

    def at(self, places: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Episodes and first rows of windows by their place among all, episode by episode."""
        episodes = np.searchsorted(self._ends, places, "right")
        return episodes, places - np.where(episodes, self._ends[episodes - 1], 0)


class ArrayReader:
    """Reads windows one by one from the arrays of a dataset's parts, into a fresh batch.

    Args:
        dataset: of its own parts, not a derived one.
        fields: names of step arrays.
        length: states of a window.
        open_array: opens the array at a path, which slices like a numpy array.
    """

    def __init__(
        self, dataset: EpisodeDataset, fields: tuple[str, ...], length: int, open_array: Callable[..., Any]
    ) -> None:
        artifact = dataset.artifact
        assert artifact is not None
        self._folders = [artifact.path / PARTS / part.name for part in artifact.manifest.parts]
        self._first = np.cumsum([0, *(part.episodes for part in artifact.manifest.parts)])
        ends = np.cumsum(dataset.lengths + 1)
        begins = ends - (dataset.lengths + 1)
        part = np.searchsorted(self._first, np.arange(len(dataset)), "right") - 1
        self._row = begins - begins[self._first[part]]
        self._specs = {name: dataset.spec(name) for name in fields}
        self._length, self._open_array = length, open_array
        self._opened: dict[tuple[int, str], Any] = {}

    def read(self, episodes: Int64[np.ndarray, " n"], starts: Int64[np.ndarray, " n"]) -> WindowBatch:
        """As `PlaceReader`."""
        parts = np.searchsorted(self._first, episodes, "right") - 1
        rows = self._row[episodes] + starts
        length = self._length
        batch = {name: np.empty((len(rows), length, *shape), dtype) for name, (shape, dtype) in self._specs.items()}
        for at, (part, row) in enumerate(zip(parts.tolist(), rows.tolist(), strict=True)):
            for name, into in batch.items():
                into[at] = self._array(part, name)[row : row + length]
        return batch

    def _array(self, part: int, name: str) -> Any:
        found = self._opened.get((part, name))
        if found is None:
            found = self._opened[part, name] = self._open_array(
                self._folders[part] / f"{STEPS}{name}", *self._specs[name]
            )
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}


def memory_mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """The rows of a `.bin` file, as anybody maps them."""
    return np.memmap(path.with_name(f"{path.name}.bin"), dtype, "r").reshape(-1, *shape)


def by_zarr_python(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array, opened by zarr-python."""
    import zarr

    return zarr.open_array(path, mode="r")


def by_tensorstore(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array, opened by tensorstore with its defaults."""
    import tensorstore

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return _Reading(tensorstore.open(spec, read=True).result())


class _Reading:
    """An array of tensorstore of which a slice is read at once."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getitem__(self, rows: slice) -> Any:
        return self._store[rows].read().result()
