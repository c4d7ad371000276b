"""Which keys may be among a query's nearest: those whose lower bound lies at or below a proven limit."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64

from pipeline.machine.compiled import compiled

UNLIMITED = np.float32(1e38)  # above every score: scores stay below 1e26
NEVER = np.float32(3e38)  # the score of an excluded or padded key

# No NaN reaches the selection, so minima may be vectorised. Distances never use this: their order of adding is fixed.
_selects = compiled(fastmath={"nnan", "nsz"})


@_selects
def _kth_bound(values: Float[np.ndarray, "n"], k: int, slack: int) -> Any:
    """A value with at least k of `values` at or below it, and no more than k + slack unless they nearly tie."""
    low = values[0]
    high = values[0]
    for i in range(values.size):
        low = min(low, values[i])
        high = max(high, values[i])
    half = values.dtype.type(0.5)  # a bare 0.5 would widen float32 to float64
    while True:
        middle = low + (high - low) * half
        if middle <= low or middle >= high:
            return high
        count = 0
        for i in range(values.size):
            count += values[i] <= middle
        if count < k:
            low = middle
        else:
            high = middle
            if count <= k + slack:
                return high


@_selects
def _tighten(
    lows: Float32[np.ndarray, "room"],
    rows: Int32[np.ndarray, "room"],
    count: int,
    k: int,
    slack: int,
    norms: Float32[np.ndarray, "u"],
    width: float,
    pad: float,
) -> tuple[np.float32, int]:
    """Lower a shortlist's limit to a proven upper bound of its k-th score and drop what lies above."""
    bound = _kth_bound(lows[:count], k, slack)
    proven = -np.inf
    for i in range(count):
        if lows[i] <= bound:
            proven = max(proven, np.float64(lows[i]) + 2 * np.float64(width) * np.float64(norms[rows[i]]))
    limit = np.nextafter(np.float32(proven + pad), np.float32(np.inf))
    kept = 0
    for i in range(count):
        low, row = lows[i], rows[i]
        lows[kept] = low
        rows[kept] = row
        kept += low <= limit
    return limit, kept


@_selects
def _collect(
    scores: Float32[np.ndarray, "8 groups"],
    first: int,
    limit: float,
    lows: Float32[np.ndarray, "room"],
    rows: Int32[np.ndarray, "room"],
    count: int,
    lowest: Float32[np.ndarray, "groups"],
    hits: Int32[np.ndarray, "groups"],
) -> int:
    """Append the keys of one score row (GROUP, groups) at or below `limit`, in key order; return the new count.

    lowest and hits are scratch. Every store is made and only the counter depends on the comparison, so there is no
    branch to mispredict.
    """
    s = scores
    depth, groups = s.shape
    for g in range(groups):
        early = min(min(s[0, g], s[1, g]), min(s[2, g], s[3, g]))
        lowest[g] = min(early, min(min(s[4, g], s[5, g]), min(s[6, g], s[7, g])))
    hit = 0
    for g in range(groups):
        hits[hit] = g
        hit += lowest[g] <= limit
    for h in range(hit):
        g = hits[h]
        for v in range(depth):
            lows[count] = s[v, g]
            rows[count] = first + g * depth + v
            count += s[v, g] <= limit
    return count


@_selects
def shortlist(
    scores: Float32[np.ndarray, "m 8 groups"],
    first: int,
    spans: Int64[np.ndarray, "m 2"],
    stops: Int64[np.ndarray, "m"],
    lasts: Int32[np.ndarray, "u"],
    limits: Float32[np.ndarray, "m"],
    lows: Float32[np.ndarray, "tile room"],
    rows: Int32[np.ndarray, "tile room"],
    counts: Int64[np.ndarray, "m"],
    norms: Float32[np.ndarray, "u"],
    widths: Float32[np.ndarray, "m"],
    pads: Float64[np.ndarray, "m"],
    k: int,
    capacity: int,
    full: int,
    largest: float,
) -> None:
    """Take one score tile (m, GROUP, groups) into the shortlists; a count of -1 gives up on its query.

    A key is hidden from query i where it lies in spans[i] and its last row before stops[i]. full is the width of a
    tile without padding, largest the norm of the farthest key.
    """
    depth, groups = scores.shape[1], scores.shape[2]
    width = depth * groups
    lowest = np.empty(groups, dtype=np.float32)
    hits = np.empty(groups, dtype=np.int32)
    for i in range(scores.shape[0]):
        count = counts[i]
        if count < 0:
            continue
        start, stop = max(spans[i, 0] - first, 0), min(spans[i, 1] - first, width)
        for p in range(start, stop):
            if lasts[first + p] < stops[i]:
                scores[i, p % depth, p // depth] = NEVER
        if count > 2 * k + 64:
            limits[i], count = _tighten(lows[i], rows[i], count, k, k // 4, norms, widths[i], pads[i])
        elif first == 0 and stop <= start and width == full and width >= 2 * k:
            # A limit from the first tile alone spares storing all of it.
            bound = np.float64(_kth_bound(scores[i].reshape(width), k, k // 4))
            bound += 2 * np.float64(widths[i]) * largest + pads[i]
            limits[i] = min(limits[i], np.nextafter(np.float32(bound), np.float32(np.inf)))  # not that of a padded key
        if count > capacity:
            counts[i] = -1
            continue
        counts[i] = _collect(scores[i], first, limits[i], lows[i], rows[i], count, lowest, hits)


@_selects
def finish(
    lows: Float32[np.ndarray, "tile room"],
    rows: Int32[np.ndarray, "tile room"],
    counts: Int64[np.ndarray, "m"],
    limits: Float32[np.ndarray, "m"],
    norms: Float32[np.ndarray, "u"],
    widths: Float32[np.ndarray, "m"],
    pads: Float64[np.ndarray, "m"],
    k: int,
) -> None:
    """After the last tile: drop all that a shortlist longer than k can do without."""
    for i in range(counts.size):
        if counts[i] > k:
            limits[i], counts[i] = _tighten(lows[i], rows[i], counts[i], k, 0, norms, widths[i], pads[i])


@_selects
def nearest_limits(
    scores: Float64[np.ndarray, "m u"], counts: Int64[np.ndarray, "m"], k: int
) -> Float64[np.ndarray, "m"]:
    """For the first counts[i] >= 1 scores of each row, a limit that at least k of them (or all) keep."""
    limits = np.empty(scores.shape[0])
    for i in range(scores.shape[0]):
        wanted = min(k, counts[i])
        limits[i] = _kth_bound(scores[i, : counts[i]], wanted, wanted // 4)
    return limits
