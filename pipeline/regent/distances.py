"""Distances between the states of a context."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float32, Float64, Int, Shaped

from pipeline.machine.compiled import compiled
from pipeline.machine.threads import available_cores
from pipeline.regent.context import CONTEXT, RETRIEVED
from pipeline.search.metric import Metric, check_metric

_ROWS_PER_TASK = 4096  # states one thread takes at a time
_SUMS = 6  # sums at once hide the latency of adding; each is still in order
assert (RETRIEVED - 1) % _SUMS == 0, "the retrieved states after the first are taken in groups of _SUMS"
_WIDENED_BYTES = 64 << 20  # pools up to this size are widened to float64 once instead of at each of their many reads


def context_distances(
    pool: Shaped[np.ndarray, "p d"],
    queries: Shaped[np.ndarray, "q d"],
    neighbours: Int[np.ndarray, "q k"],
    metric: Metric = "l2",
    threads: int | None = None,
) -> Float32[np.ndarray, "q 20"]:
    """Distances of each context's states to its first retrieved state.

    The context of a query is its first 19 retrieved states s0..s18 and then the query itself, so row i is
    |s0, s0| = 0, |s0, s1|, ..., |s0, s18|, |s0, query i|; the entries need not ascend.

    metric "l2": |x, y| is the Euclidean distance. "cosine": 1 - xy / sqrt(xx yy), cut to [0, 2]; 1 where x or y is
    zero, save that the first entry is always 0.

    pool: (p, d) vectors that neighbours point into, of any real dtype; integers above 2^53 lose low bits.
    queries: (q, d) vectors, of any real dtype.
    neighbours: (q, k >= 19) integer rows into the pool, nearest first; only the first 19 columns are read.
    threads: worker threads; None means every core this process may use. The result does not depend on it.

    Returns (q, 20) float32. Differences, products and sums over dimensions, in order, are float64; the result is
    rounded once. Raises ValueError for other shapes and for neighbours outside the pool, and UnknownName for another
    metric.

    Six states on a line, one apart; the last one is the query and has retrieved the five others:

    >>> line = np.arange(6, dtype=np.float32)[:, None]
    >>> context_distances(line, line[[5]], np.array([[0, 1, 2, 3] + [4] * 15]))[0, [0, 1, 2, 3, 4, 18, 19]].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 5.0]

    Source: REGENT (arXiv:2412.04759), where the query attends to its retrieved states in this order.
    """
    check_metric(metric)
    if pool.ndim != 2 or queries.ndim != 2 or pool.shape[1] != queries.shape[1]:
        raise ValueError(f"wanted pool (p, d) and queries (q, d), found {pool.shape} and {queries.shape}")
    if neighbours.ndim != 2 or len(neighbours) != len(queries) or neighbours.shape[1] < RETRIEVED:
        raise ValueError(f"neighbours: wanted ({len(queries)}, {RETRIEVED} or more), found {neighbours.shape}")
    used = neighbours[:, :RETRIEVED]
    if pool.size * 8 <= _WIDENED_BYTES:
        pool = pool.astype(np.float64, copy=False)
    squares = _squares(pool) if metric == "cosine" else np.empty(0)
    out = np.empty((len(queries), CONTEXT), dtype=np.float32)
    starts = range(0, len(queries), _ROWS_PER_TASK)

    def work(start: int) -> None:
        part = slice(start, start + _ROWS_PER_TASK)
        wrong = _context_rows(pool, squares, queries[part], used[part], out[part])
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
def _squares(vectors: Shaped[np.ndarray, "n d"]) -> Float64[np.ndarray, "n"]:
    """The sum of squares of each row, in order."""
    sums = np.zeros(vectors.shape[0])
    for i in range(vectors.shape[0]):
        for j in range(vectors.shape[1]):
            sums[i] += np.float64(vectors[i, j]) ** 2
    return sums


@compiled()
def _cosine_distance(product: float, x: float, y: float) -> float:
    """1 - cosine, from the inner product and the two sums of squares; 1 where one of those is 0."""
    if x == 0 or y == 0:
        return 1.0
    both = x * y  # under one root, so that equal and parallel vectors come out at exactly 0
    length = np.sqrt(both) if 1e-290 < both < 1e300 else np.sqrt(x) * np.sqrt(y)
    return min(max(1 - product / length, 0.0), 2.0)


@compiled()
def _context_rows(
    pool: Shaped[np.ndarray, "p d"],
    squares: Float64[np.ndarray, "squared"],
    queries: Shaped[np.ndarray, "q d"],
    neighbours: Int[np.ndarray, "q 19"],
    out: Float32[np.ndarray, "q 20"],
) -> int:
    """Fill `out`; return the first query with a neighbour outside the pool, or -1.

    squares: of each row of the pool, for the cosine; empty for L2. The choice stands outside of each inner loop.
    """
    cosine = squares.size > 0
    d, retrieved = pool.shape[1], neighbours.shape[1]
    first = np.empty(d)
    sums = np.empty(_SUMS)
    for i in range(queries.shape[0]):
        rows = neighbours[i]
        for c in range(retrieved):
            if rows[c] < 0 or rows[c] >= pool.shape[0]:
                return i
        for j in range(d):
            first[j] = pool[rows[0], j]
        out[i, 0] = 0
        for c in range(1, retrieved, _SUMS):
            k0, k1, k2 = pool[rows[c]], pool[rows[c + 1]], pool[rows[c + 2]]
            k3, k4, k5 = pool[rows[c + 3]], pool[rows[c + 4]], pool[rows[c + 5]]
            a0 = a1 = a2 = a3 = a4 = a5 = 0.0
            for j in range(d):
                x = first[j]
                a0 += _term(x, np.float64(k0[j]), cosine)
                a1 += _term(x, np.float64(k1[j]), cosine)
                a2 += _term(x, np.float64(k2[j]), cosine)
                a3 += _term(x, np.float64(k3[j]), cosine)
                a4 += _term(x, np.float64(k4[j]), cosine)
                a5 += _term(x, np.float64(k5[j]), cosine)
            sums[0], sums[1], sums[2], sums[3], sums[4], sums[5] = a0, a1, a2, a3, a4, a5
            for s in range(_SUMS):
                if cosine:
                    out[i, c + s] = _cosine_distance(sums[s], squares[rows[0]], squares[rows[c + s]])
                else:
                    out[i, c + s] = np.sqrt(sums[s])
        own = length = 0.0
        for j in range(d):
            y = np.float64(queries[i, j])
            own += _term(first[j], y, cosine)
            length += y * y
        out[i, retrieved] = _cosine_distance(own, squares[rows[0]], length) if cosine else np.sqrt(own)
    return -1


@compiled()
def _term(x: float, y: float, cosine: bool) -> float:
    return x * y if cosine else (x - y) ** 2
