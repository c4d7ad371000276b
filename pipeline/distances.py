"""Distances between the states of a context."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Shaped
from numpy.typing import NDArray

from pipeline.compiled import compiled
from pipeline.context import CONTEXT, RETRIEVED
from pipeline.threads import available_cores

_ROWS_PER_TASK = 4096  # states one thread takes at a time
_WIDENED_BYTES = 64 << 20  # pools up to this size are widened to float64 once instead of at each of their many reads


def context_distances(
    pool: Shaped[np.ndarray, "p d"],
    queries: Shaped[np.ndarray, "q d"],
    neighbours: Int[np.ndarray, "q k"],
    threads: int | None = None,
) -> Float32[np.ndarray, "q 20"]:
    """Euclidean distances of each context's states to its first retrieved state.

    The context of a query is its first 19 retrieved states s0..s18 and then the query itself, so row i is
    ||s0 - s0|| = 0, ||s0 - s1||, ..., ||s0 - s18||, ||s0 - query i||; the entries need not ascend.

    pool: (p, d) vectors that neighbours point into, of any real dtype; integers above 2^53 lose low bits.
    queries: (q, d) vectors, of any real dtype.
    neighbours: (q, k >= 19) integer rows into the pool, nearest first; only the first 19 columns are read.
    threads: worker threads; None means every core this process may use. The result does not depend on it.

    Returns (q, 20) float32. Differences and sums over dimensions, in order, are float64; the root is rounded once.
    Raises ValueError for other shapes and for neighbours outside the pool.

    Source: REGENT (arXiv:2412.04759), where the query attends to its retrieved states in this order.
    """
    if pool.ndim != 2 or queries.ndim != 2 or pool.shape[1] != queries.shape[1]:
        raise ValueError(f"wanted pool (p, d) and queries (q, d), found {pool.shape} and {queries.shape}")
    if neighbours.ndim != 2 or len(neighbours) != len(queries) or neighbours.shape[1] < RETRIEVED:
        raise ValueError(f"neighbours: wanted ({len(queries)}, {RETRIEVED} or more), found {neighbours.shape}")
    used = neighbours[:, :RETRIEVED]
    if pool.size * 8 <= _WIDENED_BYTES:
        pool = pool.astype(np.float64, copy=False)
    out = np.empty((len(queries), CONTEXT), dtype=np.float32)
    starts = range(0, len(queries), _ROWS_PER_TASK)

    def work(start: int) -> None:
        part = slice(start, start + _ROWS_PER_TASK)
        wrong = _context_rows(pool, queries[part], used[part], out[part])
        if wrong >= 0:
            row = start + wrong
            raise ValueError(f"neighbours: wanted rows 0 to {len(pool) - 1}, found {used[row]} for query {row}")

    workers = min(threads or available_cores(), len(starts))
    if workers <= 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(workers) as threadpool:
            list(threadpool.map(work, starts))
    return out


@compiled()
def _context_rows(pool: NDArray[Any], queries: NDArray[Any], neighbours: NDArray[Any], out: NDArray[np.float32]) -> int:
    """Fill `out`; return the first query with a neighbour outside the pool, or -1."""
    d = pool.shape[1]
    first = np.empty(d)
    for i in range(queries.shape[0]):
        rows = neighbours[i]
        for c in range(19):
            if rows[c] < 0 or rows[c] >= pool.shape[0]:
                return i
        for j in range(d):
            first[j] = pool[rows[0], j]
        out[i, 0] = 0
        for c in range(1, 19, 6):  # six sums at once hide the latency of adding; each is still in order
            k0, k1, k2 = pool[rows[c]], pool[rows[c + 1]], pool[rows[c + 2]]
            k3, k4, k5 = pool[rows[c + 3]], pool[rows[c + 4]], pool[rows[c + 5]]
            a0 = a1 = a2 = a3 = a4 = a5 = 0.0
            for j in range(d):
                x = first[j]
                a0 += (x - np.float64(k0[j])) ** 2
                a1 += (x - np.float64(k1[j])) ** 2
                a2 += (x - np.float64(k2[j])) ** 2
                a3 += (x - np.float64(k3[j])) ** 2
                a4 += (x - np.float64(k4[j])) ** 2
                a5 += (x - np.float64(k5[j])) ** 2
            out[i, c], out[i, c + 1], out[i, c + 2] = np.sqrt(a0), np.sqrt(a1), np.sqrt(a2)
            out[i, c + 3], out[i, c + 4], out[i, c + 5] = np.sqrt(a3), np.sqrt(a4), np.sqrt(a5)
        own = 0.0
        for j in range(d):
            own += (first[j] - np.float64(queries[i, j])) ** 2
        out[i, 19] = np.sqrt(own)
    return -1
