"""Exact k-nearest-neighbour search by squared Euclidean distance, with one excluded range per query."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64
from numpy.typing import NDArray

from pipeline.search.panels import Panels, pack
from pipeline.search.tiles import Search, run
from pipeline.threads import available_cores

SMALL_WORK = 1 << 22  # multiply-adds below which starting threads costs more than it saves


@dataclass(frozen=True)
class Neighbours:
    """The nearest keys of each query.

    rows: (q, k) int32 rows into the keys, ascending by (squared distance, row).
    candidates: (q,) int64, the keys each query could retrieve; where this is below k, the last k - candidates
        entries of its rows repeat the last eligible key.
    """

    rows: Int32[np.ndarray, "q k"]
    candidates: Int64[np.ndarray, " q"]


class ExactIndex:
    """The k keys nearest to each query, exactly and reproducibly.

    The distance is the sum over dimensions, in order, of squared differences taken and added in float64; equal
    distances go to the smaller row. Candidates come from a float32 matrix product with a proven error bound; where
    the bound leaves too many candidates, that query is scanned in float64. No result depends on tiles, threads,
    batches or the BLAS in use.

    keys: (n, d) float32, finite, n >= 1 and d >= 1. Not copied when C-contiguous: do not change them afterwards.
    threads: worker threads of `search`; None means every core this process may use.

    Raises ValueError for another dtype or shape, for a value that is not finite, and for threads < 1.

    Source: REGENT (arXiv:2412.04759), offline retrieval; upstream asks an approximate index whose effort is tuned by
    wall clock, this is what it approximates (REGENT preprocessing, exact search decision).
    """

    def __init__(self, keys: Float32[np.ndarray, "n d"], threads: int | None = None) -> None:
        _check_vectors("keys", keys)
        if keys.shape[0] == 0 or keys.shape[1] == 0:
            raise ValueError(f"keys: wanted at least one row and one column, found shape {keys.shape}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads: wanted at least 1 or None, found {threads}")
        self.keys = np.ascontiguousarray(keys)
        self.threads = threads if threads is not None else available_cores()

    def __len__(self) -> int:
        return len(self.keys)

    def search(
        self,
        queries: Float32[np.ndarray, "q d"],
        k: int,
        excluded: Int64[np.ndarray, "q 2"] | None = None,
    ) -> Neighbours:
        """The k nearest keys of every query.

        queries: (q, d) float32, finite; q may be 0.
        k: neighbours per query, >= 1; may exceed the number of keys.
        excluded: (q, 2) int64, the range [start, stop) of key rows that a query never retrieves (its own episode);
            start == stop excludes nothing. None excludes nothing for every query.

        Raises ValueError for other dtypes or shapes, values that are not finite, k < 1, a range outside
        0 <= start <= stop <= n, and a query whose range leaves no candidate.
        """
        n, d = self.keys.shape
        _check_vectors("queries", queries)
        if queries.shape[1] != d:
            raise ValueError(f"queries: wanted {d} columns like the keys, found shape {queries.shape}")
        if k < 1:
            raise ValueError(f"k: wanted at least 1, found {k}")
        ranges = _check_ranges(excluded, len(queries), n)
        rows = np.empty((len(queries), k), dtype=np.int32)
        task = Search(self.keys, np.ascontiguousarray(queries), ranges, rows, self._panels if 2 * k < n else None)
        run(task, self.threads if len(queries) * n * d > SMALL_WORK else 1)
        return Neighbours(rows=rows, candidates=n - (ranges[:, 1] - ranges[:, 0]))

    @functools.cached_property
    def _panels(self) -> Panels:
        return pack(self.keys)


def _check_vectors(name: str, vectors: NDArray[np.float32]) -> None:
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise ValueError(f"{name}: wanted a 2-d float32 array, found {vectors.ndim}-d {vectors.dtype}")
    for start in range(0, len(vectors), 1 << 16):  # in blocks: the mask of a large array is large too
        finite = np.isfinite(vectors[start : start + (1 << 16)]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise ValueError(f"{name}: wanted finite values, found {vectors[row]} in row {row}")


def _check_ranges(excluded: NDArray[np.int64] | None, queries: int, keys: int) -> NDArray[np.int64]:
    if excluded is None:
        return np.zeros((queries, 2), dtype=np.int64)
    if excluded.shape != (queries, 2) or not np.issubdtype(excluded.dtype, np.integer):
        raise ValueError(
            f"excluded: wanted integers of shape {(queries, 2)}, found {excluded.dtype} of {excluded.shape}"
        )
    ranges = np.ascontiguousarray(excluded, dtype=np.int64)
    start, stop = ranges[:, 0], ranges[:, 1]
    wrong = (start < 0) | (stop < start) | (stop > keys)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"excluded: wanted 0 <= start <= stop <= {keys}, found {ranges[row]} for query {row}")
    empty = stop - start == keys
    if empty.any():
        row = int(np.argmax(empty))
        raise ValueError(f"excluded: wanted at least one candidate, query {row} excludes all {keys} keys")
    return ranges
