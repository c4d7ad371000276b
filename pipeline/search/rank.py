"""Order: selected vectors by their float64 scores, their rows by (score, row), missing places filled.

The score of a vector is its squared distance from the query, or for the cosine its inner product with it, negated: a
sum over dimensions, in order, of terms taken and added in float64.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from pipeline.machine.compiled import compiled

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
def _order(scores: Float64[np.ndarray, "m"]) -> Int64[np.ndarray, "m"]:
    """Positions by (score, position).

    Short lists are ranked by counting the smaller ones, in float32 because that runs on wide vectors without a branch;
    an insertion pass then settles what float32 cannot tell apart. Several times faster than a sort at 100 entries.
    """
    m = scores.size
    if m > RANKED_BY_COUNTING:
        return np.argsort(scores, kind="mergesort")  # stable
    rough = np.full((m + 3) // 4 * 4, np.inf, dtype=np.float32)
    for i in range(m):
        rough[i] = np.float32(scores[i])
    below = np.zeros(m, dtype=np.int32)
    for i in range(0, rough.size, 4):
        r0, r1, r2, r3 = rough[i], rough[i + 1], rough[i + 2], rough[i + 3]
        for j in range(m):
            r = rough[j]
            below[j] += np.int32(r > r0) + np.int32(r > r1) + np.int32(r > r2) + np.int32(r > r3)
    order = np.full(m, -1, dtype=np.int64)
    for i in range(m):
        slot = below[i]
        while order[slot] >= 0:  # equal in float32: keep position order
            slot += 1
        order[slot] = i
    for i in range(1, m):
        moving = order[i]
        slot = i
        while slot > 0 and scores[order[slot - 1]] > scores[moving]:
            order[slot] = order[slot - 1]
            slot -= 1
        order[slot] = moving
    return order


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
    vectors: Int32[np.ndarray, "m"],
    scores: Float64[np.ndarray, "m"],
    excluded: Int64[np.ndarray, "2"],
    starts: Int64[np.ndarray, "starts"],
    members: Int32[np.ndarray, "n"],
) -> None:
    """Rows by (score, row) of vectors given in ascending order; missing rows repeat the last eligible key."""
    order = _order(scores)
    n = members.size
    filled = 0
    if starts.size == n + 1:  # each vector is one row
        filled = min(out.size, vectors.size)
        for i in range(filled):
            out[i] = vectors[order[i]]
    else:
        first = 0
        while first < order.size and filled < out.size:
            last = first
            while last < order.size and scores[order[last]] == scores[order[first]]:
                last += 1
            filled = _merge(out, filled, vectors[order[first:last]], excluded, starts, members)
            first = last
    out[filled:] = _last_eligible(excluded, n)


@compiled()
def _last_eligible(excluded: Int64[np.ndarray, "2"], n: int) -> int:
    return n - 1 if excluded[0] == excluded[1] or excluded[1] < n else excluded[0] - 1


@compiled()
def fill_missing(
    out: Int32[np.ndarray, "q k"], counts: Int64[np.ndarray, "q"], ranges: Int64[np.ndarray, "q 2"], n: int
) -> None:
    """Repeat the last eligible of n keys in the places of each row from counts[i] on."""
    for i in range(out.shape[0]):
        if counts[i] < out.shape[1]:
            out[i, counts[i] :] = _last_eligible(ranges[i], n)


@compiled()
def rank_shortlists(
    queries: Float32[np.ndarray, "q d"],
    vectors: Float32[np.ndarray, "u d"],
    cosine: bool,
    listed: Int32[np.ndarray, "q room"],
    counts: Int64[np.ndarray, "q"],
    ranges: Int64[np.ndarray, "q 2"],
    starts: Int64[np.ndarray, "u+1"],
    members: Int32[np.ndarray, "n"],
    out: Int32[np.ndarray, "q k"],
) -> None:
    """Order the first counts[i] listed vectors of each query; a count of -1 leaves out[i] alone."""
    scores = np.empty(listed.shape[1])
    query = np.empty(queries.shape[1])
    for i in range(queries.shape[0]):
        count = counts[i]
        if count < 0:
            continue
        for j in range(query.size):
            query[j] = queries[i, j]
        _scores(query, vectors, listed[i, :count], cosine, scores[:count])
        _write(out[i], listed[i, :count], scores[:count], ranges[i], starts, members)


@compiled()
def rank_near(
    queries: Float32[np.ndarray, "q d"],
    vectors: Float32[np.ndarray, "u d"],
    cosine: bool,
    listed: Int32[np.ndarray, "q room"],
    counts: Int64[np.ndarray, "q"],
    near: Float64[np.ndarray, "q room"],
    unit: float,
    shifts: Float64[np.ndarray, "q"],
    widths: Float64[np.ndarray, "q"],
    ranges: Int64[np.ndarray, "q 2"],
    starts: Int64[np.ndarray, "u+1"],
    members: Int32[np.ndarray, "n"],
    out: Int32[np.ndarray, "q k"],
) -> None:
    """Order as `rank_shortlists` does, of vectors whose scores are nearly known; `near` is overwritten.

    A score is within unit * widths[i] of unit * near[i] - shifts[i]. Those further apart than twice the width are in
    order as they are; only the others are added up in float64.
    """
    scores = np.empty(listed.shape[1])
    doubtful = np.empty(listed.shape[1], dtype=np.int64)
    query = np.empty(queries.shape[1])
    for i in range(queries.shape[0]):
        count = counts[i]
        if count < 0:
            continue
        own = near[i, :count]
        order = _order(own)
        doubts = 0
        close = False
        for c in range(count):
            before = close
            close = c + 1 < count and own[order[c + 1]] - own[order[c]] <= 2 * widths[i]
            doubtful[doubts] = order[c]
            doubts += before or close
        for j in range(query.size):
            query[j] = queries[i, j]
        _scores(query, vectors, listed[i][doubtful[:doubts]], cosine, scores[:doubts])
        for c in range(count):
            own[c] = unit * own[c] - shifts[i]
        for c in range(doubts):
            own[doubtful[c]] = scores[c]
        _write(out[i], listed[i, :count], own, ranges[i], starts, members)


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
    """Order the first counts[i] listed vectors of each query, whose float64 scores are known."""
    for i in range(scores.shape[0]):
        count = counts[i]
        _write(out[i], listed[i, :count], scores[i, :count], ranges[i], starts, members)
