"""Rows of a dataset's step arrays at many places at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.index import ONCE
from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import InvalidInput
from pipeline.views.sidecar import MappedArray, SmallRows
from pipeline.views.stored_rows import StoredRows

RETURN_TO_GO = "return_to_go"


class RowReader:
    """Reads runs of rows of a dataset's episodes into arrays that its caller gives.

    Short rows come from memory (`pipeline.views.sidecar`), long ones from the files of the parts in which they lie.
    Raises InvalidInput for a dataset that was opened without its manifest: nothing says where its rows lie.
    """

    def __init__(self, dataset: EpisodeDataset) -> None:
        if dataset.index is None:
            raise InvalidInput(
                f"A view reads a dataset of a workspace; {dataset.name} was opened without its manifest."
            )
        self.dataset, self._index, self._owners = dataset, dataset.index, dataset.index.owners
        self._small = [SmallRows(owner) for owner in self._owners]
        self._long: dict[tuple[int, str], StoredRows] = {}

    @property
    def lengths(self) -> Int64[np.ndarray, " episodes"]:
        """States of each episode."""
        return self.dataset.lengths

    def names(self) -> list[str]:
        """Names of the step arrays."""
        return self.dataset.array_names()

    def spec(self, name: str) -> RowSpec:
        """The dtype and shape of one row of a step array. Raises UnknownName."""
        shape, dtype = self.dataset.spec(name)
        return RowSpec(dtype, shape)

    def read(
        self,
        name: str,
        episodes: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, "rows ..."],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """Copy rows [start, start + count) of each episode to out[at : at + count].

        The rows are counted from the first of the episode, and may reach its last, which is no state.
        """
        row = self.spec(name)
        self._read_of_owners(lambda owner: self._rows_of(owner, name, row), episodes, starts, counts, out, at)

    def read_returns(
        self,
        discount: float,
        episodes: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, " rows"],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """As `read`, of the sum of discounted rewards from each state to the end of its episode."""
        reward = self.spec("reward")
        self._read_of_owners(
            lambda owner: self._small[owner].returns(discount, reward), episodes, starts, counts, out, at
        )

    def per_episode(self, name: str) -> Shaped[np.ndarray, "n ..."]:
        """A once-per-episode array over all episodes; nobody may write to it."""
        return self._index.once(name) if name in ONCE else self.dataset.per_episode(name)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files: each process opens its own."""
        return {**self.__dict__, "_long": {}}

    def _rows_of(self, owner: int, name: str, row: RowSpec) -> MappedArray | StoredRows:
        """Where the rows of an array are read from that one of the owners has."""
        if self._small[owner].holds(row):
            return self._small[owner].of(name, row)
        if (owner, name) not in self._long:
            self._long[owner, name] = StoredRows(self._owners[owner], name, row)
        return self._long[owner, name]

    def _read_of_owners(
        self,
        rows_of: Callable[[int], MappedArray | StoredRows],
        episodes: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, "rows ..."],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        owners, firsts = self._index.places(episodes)
        if len(self._owners) == 1:
            rows_of(0).read(firsts + starts, counts, out, at)
            return
        for owner in np.unique(owners).tolist():
            own = owners == owner
            rows_of(owner).read((firsts + starts)[own], counts[own], out, at[own])
