"""The parts of a dataset that a reader has open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.index import DatasetIndex
from pipeline.dataset.indexing import index_of, kept_index, require_listed
from pipeline.dataset.parts import ENDS
from pipeline.dataset.shares import Share, indexed_shares, shares_of
from pipeline.errors import DamagedArtifact
from pipeline.storage.contract import ReadableArray

OPEN_PARTS = 4
"""So many parts a reader keeps open."""

MANY_PARTS = 2000
"""Of so many parts the files are checked when each part is opened, of fewer all when the dataset is."""


class OpenParts:
    """The shares of a dataset, of which the last ones read are open.

    Attributes:
        shares: in the order of the episodes.
        firsts: number of the first episode of each, and one more.
    """

    def __init__(self, shares: Sequence[Share], firsts: Int64[np.ndarray, " shares"] | None = None) -> None:
        self.shares = shares
        self.firsts = np.cumsum([0, *(share.episodes for share in shares)]) if firsts is None else firsts
        self._opened: dict[int, Mapping[str, ReadableArray]] = {}

    @property
    def episodes(self) -> int:
        """All episodes."""
        return int(self.firsts[-1])

    def used(self, count: int) -> range:
        """The parts that hold the first `count` episodes."""
        return range(int(np.searchsorted(self.firsts, count, "left")))

    def open(self, part: int) -> Mapping[str, ReadableArray]:
        """The arrays of a part; the least recently used part is closed where too many are open."""
        arrays = self._opened.pop(part, None)
        if arrays is None:
            arrays = self.shares[part].open()
        self._opened[part] = arrays
        if len(self._opened) > OPEN_PARTS:
            del self._opened[next(iter(self._opened))]
        return arrays

    def lengths(self, count: int) -> Int64[np.ndarray, " count"]:
        """States of the first `count` episodes."""
        rows = [np.diff(self._ends(part), prepend=0) for part in self.used(count)]
        return np.concatenate(rows or [np.zeros(0, np.int64)])[:count] - 1

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files: each process opens its own."""
        return {**self.__dict__, "_opened": {}}

    def _ends(self, part: int) -> Int64[np.ndarray, " episodes"]:
        ends, share = self.open(part)[ENDS][:], self.shares[part]
        if share.chosen is None:
            require_listed(share.folder, share.part, ends)
        return ends


def open_parts_of(artifact: Artifact) -> OpenParts:
    """The parts of a dataset. They are known to be whole, or are checked when opened where there are many."""
    index = kept_index(artifact.path) if artifact.is_derived else None
    if len(artifact.manifest.parts) > MANY_PARTS:
        index = index_of(artifact)
    return indexed_parts(index) if index and index.parts > MANY_PARTS else OpenParts(shares_of(artifact))


def indexed_parts(index: DatasetIndex) -> OpenParts:
    """The parts of a dataset by its index: each is checked when it is opened."""
    shares = indexed_shares(index)
    return OpenParts(shares, None if index.others else index.arrays["part_firsts"][: len(shares) + 1])


def index_of_first(artifact: Artifact, parts: OpenParts, count: int) -> DatasetIndex | None:
    """The index of the first `count` episodes; None where there is none because parts behind them are damaged."""
    try:
        return index_of(artifact).first(count)
    except DamagedArtifact:
        if len(parts.used(count)) == len(parts.shares):
            raise
        return None
