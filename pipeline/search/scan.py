"""Search that scores every vector one by one, for what the matrix product cannot decide.

First by float32 differences: |x - y|^2 from differences, taken before any rounding and added in any order, is within
(d + 8) * 2^-24 * 1.1 of itself, however far both lie from the centre. Then, where that leaves too many candidates, by
the float64 scores that define the order.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from pipeline.machine.compiled import compiled
from pipeline.search.panels import EPS32, EPS64, UNDERFLOW, Panels
from pipeline.search.pool import DistinctVectors
from pipeline.search.rank import rank_scored, rank_shortlists
from pipeline.search.shortlist import nearest_limits

SCAN_TILE = 16  # queries that share one block of vectors
SCAN_VECTORS = 128  # vectors in that block
_TAME = 2.0**50  # of a scale up to this or down to its inverse, float32 differences neither overflow nor vanish
_BEYOND = 1e38  # more than any squared distance that float32 holds safely


def difference_scan(
    queries: Float32[np.ndarray, "m d"],
    pool: DistinctVectors,
    panels: Panels,
    spans: Int64[np.ndarray, "m 2"],
    ranges: Int64[np.ndarray, "m 2"],
    capacity: int,
    out: Int32[np.ndarray, "m k"],
) -> Bool[np.ndarray, "m"]:
    """Fill those rows of `out` (m, k) that at most `capacity` candidates decide; return (m,) which they are."""
    d = queries.shape[1]
    if not 1 / _TAME <= panels.scale <= _TAME:
        return np.zeros(len(queries), dtype=np.bool_)
    scores = _difference_scores(queries, pool.vectors, np.float32(panels.scale), SCAN_VECTORS)
    np.minimum(scores, 1e3 * _BEYOND, out=scores)  # no infinity
    scores += panels.offsets
    listed, counts = _eligible(scores, spans, ranges, pool.lasts)
    # A score s stands for a true one within error * (s + offset) + pad; k true ones lie within that of the k-th score.
    error = (d + 8) * EPS32 * 1.1
    pad = 4 * (d + 3) * EPS64 * panels.length**2 + UNDERFLOW
    limits = nearest_limits(scores, counts, out.shape[1])
    limits = (limits * (1 + error) + 2 * error * np.abs(panels.offsets).max() + 2 * pad) / (1 - error)
    _keep(scores, listed, counts, limits)
    decided = (limits < _BEYOND) & (counts <= capacity)
    counts[~decided] = -1
    members = (pool.starts, pool.members)
    rank_shortlists(queries, pool.vectors, pool.cosine, listed, counts, ranges, *members, out)
    return decided


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


# The bound allows any order of adding.
@compiled(fastmath={"reassoc", "contract", "nsz"})
def _difference_scores(
    queries: Float32[np.ndarray, "m d"], vectors: Float32[np.ndarray, "u d"], scale: np.float32, block_size: int
) -> Float64[np.ndarray, "m u"]:
    """(m, u) squared distances in float32, of vectors multiplied by the scale."""
    u, d = vectors.shape
    m = queries.shape[0]
    scores = np.empty((m, u))
    for first in range(0, u, block_size):
        for i in range(m):
            query = queries[i]
            for c in range(first, min(first + block_size, u)):
                vector = vectors[c]
                total = np.float32(0)
                for j in range(d):
                    difference = (query[j] - vector[j]) * scale
                    total += difference * difference
                scores[i, c] = total
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
