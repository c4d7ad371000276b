"""Parts that a source has written itself, and how much of it is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.dataset.parts import ENDS, FileTable, pack, save_part, unpack
from pipeline.dataset.summary import PartSummary, summary_of
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import Storage


class Stored(NamedTuple):
    """How much of a source a dataset has already."""

    episodes: int
    states: int


class Wanted(NamedTuple):
    """What is asked for: exactly so many episodes, or whole episodes with at least so many states; None: everything."""

    episodes: int | None = None
    states: int | None = None


StepArray = tuple[str, tuple[int, ...]]
"""dtype and shape of one row."""


@dataclass(frozen=True)
class StoredPart:
    """A part that lies finished in `folder`, to be adopted in its place.

    Attributes:
        files: checksums by path below the folder.
        lengths: (n,) int64, states of its episodes.
        steps: dtype and shape of a row of its step arrays, by name.
        sums: (n,) integers by name, one for each episode; their sums are told of the dataset.
        facts: what is told of the part beside these.
        summary: where it is known without opening the part.
    """

    folder: Path
    files: FileTable
    lengths: np.ndarray
    steps: Mapping[str, StepArray]
    sums: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, int | str] = field(default_factory=dict)
    summary: PartSummary | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of all step arrays."""
        return sum(np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in self.steps.values())

    def told(self) -> dict[str, int | str]:
        """All facts, sums included."""
        return {**self.facts, **{name: int(values.sum()) for name, values in self.sums.items()}}

    def only(self, keep: np.ndarray, storage: Storage) -> StoredPart:
        """The part with those episodes alone that `keep` (n,) bool marks, written anew unless it marks all."""
        if keep.all():
            return self
        arrays = {name: array[:] for name, array in open_arrays(self.folder).items()}
        episodes = [episode for episode, kept in zip(unpack(arrays), keep, strict=True) if kept]
        folder = self.folder.with_name(f"{self.folder.name}-{len(episodes)}-of-{len(arrays[ENDS])}")
        packed = pack(episodes)
        return replace(
            self,
            folder=folder,
            files=save_part(storage, folder, packed),
            lengths=self.lengths[keep],
            sums={name: values[keep] for name, values in self.sums.items()},
            summary=summary_of(packed),
        )
