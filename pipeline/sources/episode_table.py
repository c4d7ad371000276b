"""What the episodes of an HDF5 file say once, in a group of arrays with an entry for each episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pipeline.episode import INFO_TEXTS, SUMMARY, TEXTS
from pipeline.sources.flat import EpisodeBounds
from pipeline.sources.hdf5 import Hdf5
from pipeline.sources.quirks import Quirks

PROVENANCE = "provenance"
"""The attribute of a file that says what made its episodes, as JSON."""

OFFSET, LENGTH = "offset", "length"
"""The first row of each episode, and its transitions."""

RESETS, RESETS_PRESENT = "reset_info", "reset_info_present"
"""Groups of the reset infos, and of masks that say which episodes have them."""

Once = tuple[Mapping[str, Any], Mapping[str, Shaped[np.ndarray, "..."]]]
"""What one episode says once, by name, and the infos of its reset."""


def note_stale(file: Hdf5, group: str, quirks: Quirks) -> None:
    """Note that a group of what episodes say once is not read: its arrays are of other episodes."""
    quirks.note(
        "stale_episode_metadata",
        f"{group} does not fit the episodes and was not read.",
        rule="it must list the very episodes",
        dropped=len(file.below(group)),
        unit="arrays",
    )


class EpisodeTable:
    """The group `group` of a file, as far as it is one: arrays with other dimensions are left out.

    Attributes:
        count: how many episodes it lists; None where there is no table, or its arrays differ.
        whole: it says all that an export of ours says.
    """

    def __init__(self, file: Hdf5, group: str) -> None:
        self._file = file
        inside = {name.removeprefix(f"{group}/"): name for name in file.below(group) if name != group}
        numeric = {name: path for name, path in inside.items() if file.is_numeric(path)}
        vectors = {name: path for name, path in numeric.items() if _is_whole_numbers(file.datasets[path])}
        texts = {name: path for name, path in inside.items() if _is_text(file.datasets[path])}
        self._summary = {name: vectors[name] for name in SUMMARY if name in vectors}
        self._places = {name: vectors[name] for name in (OFFSET, LENGTH) if name in vectors}
        self._texts = {name: texts[name] for name in (*TEXTS, INFO_TEXTS) if name in texts}
        self._resets = _inside(RESETS, numeric)
        self._present = _inside(RESETS_PRESENT, vectors)
        known = [*self._summary.values(), *self._places.values(), *self._texts.values()]
        rows = {file.rows(path) for path in [*known, *self._resets.values(), *self._present.values()]}
        self.count = next(iter(rows)) if len(rows) == 1 else None
        self.whole = {*SUMMARY, OFFSET, LENGTH} <= {*self._summary, *self._places}

    def agrees(self, bounds: EpisodeBounds) -> bool:
        """Whether it lists these episodes, where they are."""
        if self.count != len(bounds):
            return False
        places = {OFFSET: bounds.starts, LENGTH: bounds.lengths}
        return all(np.array_equal(self._file.read(path), places[name]) for name, path in self._places.items())

    def says(self, name: str, flags: Bool[np.ndarray, " n"]) -> bool:
        """Whether it says these truth values of the episodes."""
        return np.array_equal(self._file.read(self._summary[name]) != 0, flags)

    def once(self, numbers: Int64[np.ndarray, " k"]) -> Callable[[int], Once]:
        """What the i-th of these episodes says once."""
        start, stop = int(numbers[0]), int(numbers[-1]) + 1
        summary = {name: self._file.read(path, start, stop) for name, path in self._summary.items()}
        texts = {name: self._file.texts(path, start, stop) for name, path in self._texts.items()}
        resets = {name: self._file.read(path, start, stop) for name, path in self._resets.items()}
        present = {name: self._file.read(path, start, stop) for name, path in self._present.items()}

        def of(i: int) -> Once:
            at = int(numbers[i]) - start
            there = [name for name in resets if name not in present or present[name][at]]
            return (
                {name: array[at] for name, array in summary.items()} | {name: each[at] for name, each in texts.items()},
                {name: np.asarray(resets[name][at]) for name in there},
            )

        return of

    def beside(self, group: str, numbers: Int64[np.ndarray, " k"]) -> dict[str, Shaped[np.ndarray, "k ..."]]:
        """Other arrays of numbers that have an entry for each episode, which lie in the group `group`, by name."""
        names = [name for name in self._file.below(group) if self._file.is_numeric(name)]
        names = [name for name in names if self._file.rows(name) == self.count]
        start, stop = int(numbers[0]), int(numbers[-1]) + 1
        return {name.removeprefix(f"{group}/"): self._file.read(name, start, stop) for name in names}


def _inside(group: str, paths: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(f"{group}/"): path for name, path in paths.items() if name.startswith(f"{group}/")}


def _is_whole_numbers(dataset: h5py.Dataset) -> bool:
    return dataset.ndim == 1 and dataset.dtype.kind in "biu"


def _is_text(dataset: h5py.Dataset) -> bool:
    return dataset.ndim == 1 and h5py.check_string_dtype(dataset.dtype) is not None
