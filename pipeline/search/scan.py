"""Search with no float32 step, for what float32 scores cannot decide: every distance in float64, then select."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled import compiled
from pipeline.search.rank import rank_scan
from pipeline.search.shortlist import scan_limits

FULL_SCAN_TILE = 16  # queries that share one transposed block of keys
FULL_SCAN_KEYS = 512  # keys in that block


def full_scan(
    queries: NDArray[np.float32], keys: NDArray[np.float32], ranges: NDArray[np.int64], out: NDArray[np.int32]
) -> None:
    """Fill `out` (m, k) for a few queries; holds m x n distances at once."""
    distances = _all_distances(queries, keys, FULL_SCAN_KEYS)
    rank_scan(distances, ranges, scan_limits(distances, ranges, out.shape[1]), out)


@compiled()
def _all_distances(queries: NDArray[np.float32], keys: NDArray[np.float32], block_size: int) -> NDArray[np.float64]:
    """(m, n) squared distances, added over dimensions in order."""
    n, d = keys.shape
    m = queries.shape[0]
    distances = np.empty((m, n))
    sums = np.zeros(block_size)
    block = np.empty((d, block_size))
    for first in range(0, n, block_size):
        size = min(block_size, n - first)
        for c in range(size):
            for j in range(d):
                block[j, c] = keys[first + c, j]
        for i in range(m):
            for j in range(d):
                x = np.float64(queries[i, j])
                for c in range(size):
                    difference = x - block[j, c]
                    sums[c] += difference * difference
            distances[i, first : first + size] = sums[:size]
            sums[:] = 0
    return distances
