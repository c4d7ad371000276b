"""The states of a dataset as points: which ones, where they lie, and which are nearest to each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64, Shaped

from pipeline.formats.clusters import MOST_CLUSTERS, cluster_points
from pipeline.formats.contract import Outgoing
from pipeline.formats.flat import FlatEpisodes
from pipeline.formats.projection import fit_plane, flattened_rows, observation_rows
from pipeline.search.index import ExactIndex
from pipeline.wording import how_many, ordinal

MOST_NUMBERS = 2**26
"""Of all rows together, which are in memory: 256 MB of float32."""

BLOCK_BYTES = 2**24
"""Raw bytes of states that are read at a time."""


class AtlasPoints:
    """The kept states of a dataset, every n-th where there are many.

    Attributes:
        every: how many states there are to one that is kept.
        states: numbers of the kept ones, ascending.
        episodes, steps: of each of them.
        places: where it lies in the plane along which they vary most.
        clusters: of each, by its place.

    Raises InvalidInput for observations that are not finite.
    """

    def __init__(self, data: Outgoing, most: int, neighbours: int, own_episode: bool) -> None:
        self._flat = FlatEpisodes(data)
        self._count = count = data.dataset.states
        first = flattened_rows({name: self._flat.read_states(name, 0, 1) for name in observation_rows(self._flat)})
        most = max(2, min(most, MOST_NUMBERS // max(1, first.shape[1])))
        self.every = -(-count // most)
        self.states: Int64[np.ndarray, " n"] = np.arange(0, count, self.every)
        ends = data.dataset.state_ends
        self.episodes: Int64[np.ndarray, " n"] = np.searchsorted(ends, self.states, "right").astype(np.int64)
        self.steps: Int64[np.ndarray, " n"] = self.states - (ends - data.dataset.lengths)[self.episodes]
        self._vectors = self._read_vectors(count, first.shape[1])
        plane = fit_plane(lambda: [self._vectors])
        self.places: Float32[np.ndarray, "n 2"] = plane.points(self._vectors)
        self.clusters: Int64[np.ndarray, " n"] = cluster_points(self.places, min(MOST_CLUSTERS, len(data)))[0]
        excluded = self._excluded(own_episode)
        candidates = len(self) - (excluded[:, 1] - excluded[:, 0])
        count = min(neighbours, int(candidates.min()))
        self._nearest = np.zeros((len(self), 0), np.int32)
        if count:
            self._nearest = ExactIndex(self._vectors).search(self._vectors, count, excluded).rows

    def __len__(self) -> int:
        return len(self.states)

    def left_out(self) -> str:
        """What stands for all states, in words."""
        kept = f"every {ordinal(self.every)} one is a point, {len(self):,} in all"
        return f"of {how_many(self._count, 'states')} {kept}: more would be too many to show, or to compare"

    def read(self, name: str, states: Int64[np.ndarray, " k"]) -> Shaped[np.ndarray, "k ..."]:
        """A step array at some of the kept states, which follow one another."""
        first, last = int(states[0]), int(states[-1])
        return self._flat.read_states(name, first, last + 1)[:: self.every]

    def neighbours(self, block: range) -> pa.StructArray:
        """Rows of the file that are nearest to some rows, and how far they are (L2)."""
        nearest = self._nearest[block.start : block.stop]
        own = self._vectors[block.start : block.stop].astype(np.float64)
        squares = [np.square(self._vectors[ids] - own).sum(axis=1) for ids in nearest.T]
        distances = np.sqrt(np.stack(squares, axis=1)) if squares else np.zeros(nearest.shape)
        ends = pa.array(np.arange(len(nearest) + 1, dtype=np.int32) * nearest.shape[1])
        values = (nearest.astype(np.int64), distances.astype(np.float32))
        lists = [pa.ListArray.from_arrays(ends, pa.array(each.reshape(-1))) for each in values]
        return pa.StructArray.from_arrays(lists, ["ids", "distances"])

    def _read_vectors(self, count: int, width: int) -> Float32[np.ndarray, "n d"]:
        rows = observation_rows(self._flat)
        out = np.empty((len(self), width), np.float32)
        block = max(1, BLOCK_BYTES // max(1, sum(row.nbytes for row in rows.values()))) * self.every
        for start in range(0, count, block):
            stop = min(start + block, count)
            arrays = {name: self._flat.read_states(name, start, stop)[:: self.every] for name in rows}
            done = start // self.every
            out[done : done + -(-(stop - start) // self.every)] = flattened_rows(arrays)
        return out

    def _excluded(self, own_episode: bool) -> Int64[np.ndarray, "n 2"]:
        """Which rows are no neighbours of each: itself, or all of its episode."""
        if own_episode:
            rows = np.arange(len(self))
            return np.stack([rows, rows + 1], axis=1)
        sides = [np.searchsorted(self.episodes, self.episodes, side) for side in ("left", "right")]
        return np.stack(sides, axis=1)
