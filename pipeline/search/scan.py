"""Search by the float64 scores of every vector, which define the order, for what the matrix product cannot decide."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from pipeline.machine.compiled import compiled
from pipeline.search.pool import DistinctVectors
from pipeline.search.rank import rank_scored
from pipeline.search.shortlist import nearest_limits

SCAN_TILE = 16  # queries that share one block of vectors
SCAN_VECTORS = 128  # vectors in that block


def full_scan(
    queries: Float32[np.ndarray, "m d"],
    pool: DistinctVectors,
    spans: Int64[np.ndarray, "m 2"],
    ranges: Int64[np.ndarray, "m 2"],
    out: Int32[np.ndarray, "m k"],
) -> None:
    """Fill `out` (m, k) for a few queries; holds m x u scores at once."""
    scores = _all_scores(queries, pool.vectors, pool.cosine, SCAN_VECTORS)
    listed, counts = _eligible(scores, spans, ranges, pool.lasts)
    _keep(scores, listed, counts, nearest_limits(scores, counts, out.shape[1]))
    rank_scored(scores, listed, counts, ranges, pool.starts, pool.members, out)


@compiled()
def _all_scores(
    queries: Float32[np.ndarray, "m d"], vectors: Float32[np.ndarray, "u d"], cosine: bool, block_size: int
) -> Float64[np.ndarray, "m u"]:
    """(m, u) scores that define the order: terms added over dimensions in order."""
    u, d = vectors.shape
    m = queries.shape[0]
    scores = np.empty((m, u))
    sums = np.zeros(block_size)
    block = np.empty((d, block_size))
    for first in range(0, u, block_size):
        size = min(block_size, u - first)
        for c in range(size):
            for j in range(d):
                block[j, c] = vectors[first + c, j]
        for i in range(m):
            for j in range(d):
                x = np.float64(queries[i, j])
                if cosine:
                    for c in range(size):
                        sums[c] -= x * block[j, c]
                else:
                    for c in range(size):
                        difference = x - block[j, c]
                        sums[c] += difference * difference
            for c in range(size):
                scores[i, first + c] = sums[c]
                sums[c] = 0
    return scores


@compiled()
def _eligible(
    scores: Float64[np.ndarray, "m u"],
    spans: Int64[np.ndarray, "m 2"],
    ranges: Int64[np.ndarray, "m 2"],
    lasts: Int32[np.ndarray, "u"],
) -> tuple[Int32[np.ndarray, "m u"], Int64[np.ndarray, "m"]]:
    """Move the scores of vectors that are not hidden to the front of each row; return their numbers and counts."""
    m, u = scores.shape
    listed = np.empty((m, u), dtype=np.int32)
    counts = np.empty(m, dtype=np.int64)
    for i in range(m):
        own, start, stop = scores[i], spans[i, 0], spans[i, 1]
        count = start
        for v in range(start):
            listed[i, v] = v
        for v in range(start, u):
            own[count] = own[v]
            listed[i, count] = v
            count += v >= stop or lasts[v] >= ranges[i, 1]
        counts[i] = count
    return listed, counts


@compiled()
def _keep(
    scores: Float64[np.ndarray, "m u"],
    listed: Int32[np.ndarray, "m u"],
    counts: Int64[np.ndarray, "m"],
    limits: Float64[np.ndarray, "m"],
) -> None:
    """Drop the scores above each row's limit."""
    for i in range(scores.shape[0]):
        own, limit = scores[i], limits[i]
        kept = 0
        for c in range(counts[i]):
            own[kept] = own[c]
            listed[i, kept] = listed[i, c]
            kept += own[c] <= limit
        counts[i] = kept
