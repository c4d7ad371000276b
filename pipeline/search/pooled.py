"""Many pools searched together: a large one by all threads, small ones side by side, each by one thread.

A small pool costs less than waking threads for it, and its index is made by the thread that first searches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64

from pipeline.machine.threads import available_cores, helping, one_blas_thread
from pipeline.search.index import ExactIndex
from pipeline.search.tiles import share_tiles

LARGE = 4_096
"""Keys of a pool from which on it is searched alone, by all threads or on a GPU."""


@dataclass(frozen=True)
class PoolQueries:
    """What is asked of one pool: its number, which queries ask it, and for each the range of the pool's rows left out.

    which: (m,) numbers of queries; excluded: (m, 2).
    """

    pool: int
    which: Int[np.ndarray, "m"]
    excluded: Int64[np.ndarray, "m 2"]


class PooledIndex:
    """The indexes of many pools, each made at its first search.

    sizes: (pools,) the keys of each.
    make: the index of pool i, of a number of threads; called from several threads at once, of large pools from one.
    """

    def __init__(
        self, sizes: Int[np.ndarray, "pools"], make: Callable[[int, int], ExactIndex], threads: int | None = None
    ) -> None:
        self.sizes = sizes
        self.threads = threads if threads is not None else available_cores()
        self._make = make
        self._made: dict[int, ExactIndex] = {}

    def search(
        self, queries: Float32[np.ndarray, "q d"], k: int, asked: Sequence[PoolQueries]
    ) -> Int32[np.ndarray, "q k"]:
        """For each query the k nearest rows of the pool that it asks, as `ExactIndex.search` gives them.

        asked: each pool once, each query by one of them.
        """
        rows = np.empty((len(queries), k), dtype=np.int32)
        small = [each for each in asked if self.sizes[each.pool] < LARGE]
        small.sort(key=lambda each: -len(each.which) * int(self.sizes[each.pool]))  # the last to end are short

        def some(numbers: Iterator[int], _: int) -> None:
            with helping():
                for number in numbers:
                    self._fill(small[number], queries, rows)

        with one_blas_thread():
            share_tiles(some, len(small), 1, self.threads)
        for each in asked:
            if self.sizes[each.pool] >= LARGE:
                self._fill(each, queries, rows)
        return rows

    def _fill(self, asked: PoolQueries, queries: Float32[np.ndarray, "q d"], rows: Int32[np.ndarray, "q k"]) -> None:
        number = asked.pool
        if number not in self._made:
            self._made[number] = self._make(number, 1 if self.sizes[number] < LARGE else self.threads)
        rows[asked.which] = self._made[number].search(queries[asked.which], rows.shape[1], asked.excluded).rows
