"""Order: selected vectors by their float64 scores, their rows by (score, row), missing places filled.

The score of a vector is its squared distance from the query, or for the cosine its inner product with it, negated: a
sum over dimensions, in order, of terms taken and added in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from pipeline.machine.compiled import compiled

SORTED_IN_PLACE = 16  # entries up to which moving them one by one beats counting
RANKED_BY_COUNTING = 512  # entries up to which counting beats a sort


@compiled()
def _scores(
    query: Float64[np.ndarray, "d"],
    vectors: Float32[np.ndarray, "u d"],
    listed: Int32[np.ndarray, "m"],
    cosine: bool,
    out: Float64[np.ndarray, "m"],
) -> None:
    """Scores of the listed vectors; several independent sums at a time hide the latency of adding."""
    d = query.size
    whole = listed.size - listed.size % 8
    for c in range(0, whole, 8):
        v0, v1, v2, v3 = vectors[listed[c]], vectors[listed[c + 1]], vectors[listed[c + 2]], vectors[listed[c + 3]]
        v4, v5, v6, v7 = vectors[listed[c + 4]], vectors[listed[c + 5]], vectors[listed[c + 6]], vectors[listed[c + 7]]
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = 0.0
        if cosine:
            for j in range(d):
                x = query[j]
                a0 -= x * v0[j]
                a1 -= x * v1[j]
                a2 -= x * v2[j]
                a3 -= x * v3[j]
                a4 -= x * v4[j]
                a5 -= x * v5[j]
                a6 -= x * v6[j]
                a7 -= x * v7[j]
        else:
            for j in range(d):
                x = query[j]
                a0 += (x - v0[j]) ** 2
                a1 += (x - v1[j]) ** 2
                a2 += (x - v2[j]) ** 2
                a3 += (x - v3[j]) ** 2
                a4 += (x - v4[j]) ** 2
                a5 += (x - v5[j]) ** 2
                a6 += (x - v6[j]) ** 2
                a7 += (x - v7[j]) ** 2
        out[c], out[c + 1], out[c + 2], out[c + 3] = a0, a1, a2, a3
        out[c + 4], out[c + 5], out[c + 6], out[c + 7] = a4, a5, a6, a7
    for c in range(whole, listed.size):
        vector = vectors[listed[c]]
        total = 0.0
        for j in range(d):
            if cosine:
                total -= query[j] * vector[j]
            else:
                total += (query[j] - vector[j]) ** 2
        out[c] = total


@compiled()
def _float_order(values: Float32[np.ndarray, "m"]) -> Int64[np.ndarray, "m"]:
    """Positions by (value, position).

    Short lists are ranked by counting the smaller ones, which runs on wide vectors without a branch (of arrays made
    here, which the compiler knows not to overlap). Several times faster than a sort at 100 entries.
    """
    m = values.size
    if m > RANKED_BY_COUNTING:
        return np.argsort(values, kind="mergesort")  # stable
    rough = np.full((m + 3) // 4 * 4, np.inf, dtype=np.float32)
    for i in range(m):
        rough[i] = values[i]
    below = np.zeros(m, dtype=np.int32)
    for i in range(0, rough.size, 4):
        r0, r1, r2, r3 = rough[i], rough[i + 1], rough[i + 2], rough[i + 3]
        for j in range(m):
            r = rough[j]
            below[j] += np.int32(r > r0) + np.int32(r > r1) + np.int32(r > r2) + np.int32(r > r3)
    order = np.full(m, -1, dtype=np.int64)
    for i in range(m):
        slot = below[i]
        while order[slot] >= 0:  # equal: keep position order
            slot += 1
        order[slot] = i
    return order


@compiled()
def _sort(
    scores: Float64[np.ndarray, "room"],
    vectors: Int32[np.ndarray, "room"],
    equal: Bool[np.ndarray, "room"],
    first: int,
    last: int,
) -> None:
    """Put the entries [first, last) of all three in the order of (score, vector); equal: as near as the one before."""
    if last - first > SORTED_IN_PLACE:
        part = scores[first:last].copy()
        # In float32, then what float32 cannot tell apart.
        many = last - first > RANKED_BY_COUNTING
        order = np.argsort(part, kind="mergesort") if many else _float_order(part.astype(np.float32))
        numbers = vectors[first:last].copy()
        for i in range(order.size):
            scores[first + i], vectors[first + i] = part[order[i]], numbers[order[i]]
    for i in range(first + 1, last):
        score, vector = scores[i], vectors[i]
        slot = i
        while slot > first and (scores[slot - 1] > score or (scores[slot - 1] == score and vectors[slot - 1] > vector)):
            scores[slot], vectors[slot] = scores[slot - 1], vectors[slot - 1]
            slot -= 1
        scores[slot], vectors[slot] = score, vector
    equal[first] = False
    for i in range(first + 1, last):
        equal[i] = scores[i] == scores[i - 1]


@compiled()
def _merge(
    out: Int32[np.ndarray, "k"],
    filled: int,
    tied: Int32[np.ndarray, "t"],
    excluded: Int64[np.ndarray, "2"],
    starts: Int64[np.ndarray, "starts"],
    members: Int32[np.ndarray, "n"],
) -> int:
    """Append the eligible rows of equally near vectors, the smallest first, while there is room."""
    wanted = out.size - filled
    room = 0
    for vector in tied:
        room += min(starts[vector + 1] - starts[vector], wanted)
    rows = np.empty(room, dtype=np.int32)
    count = 0
    for vector in tied:
        taken = 0
        for m in range(starts[vector], starts[vector + 1]):
            row = members[m]
            if taken < wanted and (row < excluded[0] or row >= excluded[1]):
                rows[count] = row
                count += 1
                taken += 1
    if tied.size > 1:
        rows[:count].sort()
    for i in range(min(count, wanted)):
        out[filled + i] = rows[i]
    return filled + min(count, wanted)


@compiled()
def _write(
    out: Int32[np.ndarray, "k"],
    ordered: Int32[np.ndarray, "room"],
    equal: Bool[np.ndarray, "room"],
    count: int,
    excluded: Int64[np.ndarray, "2"],
    starts: Int64[np.ndarray, "starts"],
    members: Int32[np.ndarray, "n"],
) -> None:
    """The rows of ordered vectors, those of equally near ones by row; missing rows repeat the last eligible key."""
    n = members.size
    filled = 0
    if starts.size == n + 1:  # each vector is one row
        filled = min(out.size, count)
        for i in range(filled):
            out[i] = ordered[i]
    else:
        first = 0
        while first < count and filled < out.size:
            last = first + 1
            while last < count and equal[last]:
                last += 1
            filled = _merge(out, filled, ordered[first:last], excluded, starts, members)
            first = last
    if filled < out.size:
        out[filled:] = n - 1 if excluded[0] == excluded[1] or excluded[1] < n else excluded[0] - 1


@compiled()
def rank_scored(
    scores: Float64[np.ndarray, "q room"],
    listed: Int32[np.ndarray, "q room"],
    counts: Int64[np.ndarray, "q"],
    ranges: Int64[np.ndarray, "q 2"],
    starts: Int64[np.ndarray, "starts"],
    members: Int32[np.ndarray, "n"],
    out: Int32[np.ndarray, "q k"],
) -> None:
    """Order the first counts[i] listed vectors of each query, whose float64 scores are known; sorts both in place."""
    equal = np.empty(listed.shape[1], dtype=np.bool_)
    for i in range(scores.shape[0]):
        _sort(scores[i], listed[i], equal, 0, counts[i])
        _write(out[i], listed[i], equal, counts[i], ranges[i], starts, members)


@compiled()
def rank_bounded(
    queries: Float32[np.ndarray, "q d"],
    vectors: Float32[np.ndarray, "u d"],
    cosine: bool,
    listed: Int32[np.ndarray, "q room"],
    lows: Float32[np.ndarray, "q room"],
    counts: Int64[np.ndarray, "q"],
    norms: Float32[np.ndarray, "u"],
    widths: Float32[np.ndarray, "q"],
    pads: Float64[np.ndarray, "q"],
    ranges: Int64[np.ndarray, "q 2"],
    starts: Int64[np.ndarray, "u+1"],
    members: Int32[np.ndarray, "n"],
    out: Int32[np.ndarray, "q k"],
) -> None:
    """Order the first counts[i] listed vectors of each query, ascending numbers; a count of -1 leaves out[i] alone.

    The true score of a listed vector lies between low - pad and low + 2 * width * norm + pad (pipeline.search.panels).
    Where these do not overlap, the lows are in order as they are. Only runs of vectors that do are scored in float64.
    Without width and pad the lows are the true scores.
    """
    room = listed.shape[1]
    ordered, bounds, highs = np.empty(room, dtype=np.int32), np.empty(room), np.empty(room)
    equal, scratch = np.empty(room, dtype=np.bool_), _scratch(room, queries.shape[1])
    for i in range(queries.shape[0]):
        count = counts[i]
        if count < 0:
            continue
        order = _float_order(lows[i, :count])
        width, pad = 2 * np.float64(widths[i]), 2 * pads[i]
        for c in range(count):
            ordered[c] = listed[i, order[c]]
            bounds[c] = lows[i, order[c]]
            highs[c] = bounds[c] + width * norms[ordered[c]] + pad
        if width == 0 and pad == 0:
            for c in range(1, count):
                equal[c] = bounds[c] == bounds[c - 1]
        else:
            count = _decide(queries[i], vectors, cosine, ordered, bounds[:count], highs, out.shape[1], equal, scratch)
        _write(out[i], ordered, equal, count, ranges[i], starts, members)


@compiled()
def rank_near(
    queries: Float32[np.ndarray, "q d"],
    vectors: Float32[np.ndarray, "u d"],
    cosine: bool,
    listed: Int32[np.ndarray, "q room"],
    counts: Int64[np.ndarray, "q"],
    near: Float64[np.ndarray, "q room"],
    widths: Float64[np.ndarray, "q"],
    ranges: Int64[np.ndarray, "q 2"],
    starts: Int64[np.ndarray, "u+1"],
    members: Int32[np.ndarray, "n"],
    out: Int32[np.ndarray, "q k"],
) -> None:
    """As `rank_bounded` does, where each score, in any unit, lies within widths[i] of `near`; sorts both in place."""
    room = listed.shape[1]
    highs, equal, scratch = np.empty(room), np.empty(room, dtype=np.bool_), _scratch(room, queries.shape[1])
    for i in range(queries.shape[0]):
        count = counts[i]
        if count < 0:
            continue
        _sort(near[i], listed[i], equal, 0, count)
        for c in range(count):
            highs[c] = near[i, c] + 2 * widths[i]
        count = _decide(queries[i], vectors, cosine, listed[i], near[i, :count], highs, out.shape[1], equal, scratch)
        _write(out[i], listed[i], equal, count, ranges[i], starts, members)


@compiled()
def _scratch(room: int, d: int) -> Any:
    """What `_decide` writes in between: a query, scores, listed vectors, ends of runs."""
    return np.empty(d), np.empty(room), np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int64)


@compiled()
def _decide(
    query: Float32[np.ndarray, "d"],
    vectors: Float32[np.ndarray, "u d"],
    cosine: bool,
    ordered: Int32[np.ndarray, "room"],
    lows: Float64[np.ndarray, "count"],
    highs: Float64[np.ndarray, "room"],
    k: int,
    equal: Bool[np.ndarray, "room"],
    scratch: Any,
) -> int:
    """Put vectors that are ordered by their lows in the order of their true scores, as far as k need it.

    Returns how many of them are in order; those whose bounds overlap none are not scored.
    """
    exact, scores, doubtful, ends = scratch
    runs, doubts = _runs(ordered, lows, highs, k, ends, doubtful)
    for j in range(exact.size):
        exact[j] = query[j]
    _scores(exact, vectors, doubtful[:doubts], cosine, scores[:doubts])
    return _settle(ordered, ends, runs, scores, doubtful, equal)


@compiled()
def _runs(
    ordered: Int32[np.ndarray, "room"],
    lows: Float64[np.ndarray, "count"],
    highs: Float64[np.ndarray, "room"],
    k: int,
    ends: Int64[np.ndarray, "room"],
    doubtful: Int32[np.ndarray, "room"],
) -> tuple[int, int]:
    """Cut vectors ordered by their lows, until there are k, into runs whose bounds overlap; list those of long runs.

    Returns the numbers of runs and of vectors listed.
    """
    count, runs, doubts, first = lows.size, 0, 0, 0
    while first < count and first < k:
        top = highs[first]
        last = first + 1
        while last < count and lows[last] <= top:
            top = max(top, highs[last])
            last += 1
        if last > first + 1:
            for c in range(first, last):
                doubtful[doubts] = ordered[c]
                doubts += 1
        ends[runs] = last
        runs += 1
        first = last
    return runs, doubts


@compiled()
def _settle(
    ordered: Int32[np.ndarray, "room"],
    ends: Int64[np.ndarray, "room"],
    runs: int,
    scores: Float64[np.ndarray, "room"],
    doubtful: Int32[np.ndarray, "room"],
    equal: Bool[np.ndarray, "room"],
) -> int:
    """Put the vectors of each run of several in the order of their scores, which come one run after the other.

    Returns how many vectors the runs hold.
    """
    first, done = 0, 0
    for run in range(runs):
        last = ends[run]
        size = last - first
        equal[first] = False
        if size > 1:
            _sort(scores, doubtful, equal[first - done :], done, done + size)
            for c in range(size):
                ordered[first + c] = doubtful[done + c]
            done += size
        first = last
    return first
