"""Lists of keys that may be among a query's nearest: limits guessed while they grow, float32 differences that prove.

While keys are looked at, a limit need be no more than a good guess: no key at or below it is missing from the list. In
the end |x - y|^2 from float32 differences, within (d + 8) * 2^-24 * 1.1 of itself in any order of adding, bounds the
k-th score from above. A list whose limit was not below that bound is complete; else the bound is the limit for asking
once more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pipeline.machine.compiled import compiled, intrinsic

OPEN = np.float32(1e38)  # the limit of a query that lists every key; scores stay below 1e26
GIVEN_UP = np.float32(-np.inf)  # the limit of a query that lists nothing more

LINE = 64  # bytes of a cache line
AHEAD = 2  # vectors that are on their way to the cache while one is measured

# No NaN reaches the selection, so minima may be vectorised; the bounds allow any order of adding.
_selects = compiled(fastmath={"nnan", "nsz", "reassoc", "contract"})


@intrinsic
def _fetch(_: Any, address: Any, lines: Any) -> Any:
    """Ask for so many cache lines from an address on, and do not wait for them."""

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        address, lines = arguments
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        read, second_cache, data = (ir.Constant(word, value) for value in (0, 2, 1))
        with cgutils.for_range(builder, lines) as loop:
            line = builder.add(address, builder.mul(loop.index, ir.Constant(lines.type, LINE)))
            builder.call(fetch, [builder.inttoptr(line, byte), read, second_cache, data])

    return types.void(types.uintp, types.intp), emit


@_selects
def _kth_bound(values: Float[np.ndarray, "n"], k: int, slack: int) -> Any:
    """A value with at least k of `values` at or below it, and no more than k + slack unless they nearly tie.

    As in pipeline.search.shortlist: compiled functions call those of their own file only.
    """
    low = values[0]
    high = values[0]
    for i in range(values.size):
        low = min(low, values[i])
        high = max(high, values[i])
    half = values.dtype.type(0.5)
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
def stop_long(counts: Int64[np.ndarray, "m_"], limits: Float32[np.ndarray, "m_"], capacity: int) -> None:
    """Give up the queries whose lists are longer than `capacity`."""
    for i in range(counts.size):
        if counts[i] > capacity:
            counts[i] = 0
            limits[i] = GIVEN_UP


@_selects
def drop_hidden(
    counts: Int64[np.ndarray, "m_"],
    before: Int64[np.ndarray, "m_"],
    lows: Float32[np.ndarray, "m_ room"],
    places: Int32[np.ndarray, "m_ room"],
    order: Int32[np.ndarray, "u"],
    spans: Int64[np.ndarray, "m 2"],
    stops: Int64[np.ndarray, "m"],
    lasts: Int32[np.ndarray, "u"],
) -> None:
    """Drop from each list, from before[i] on, what is hidden from its query.

    A key is hidden from query i where its vector lies in spans[i] and its last row before stops[i].
    """
    for i in range(spans.shape[0]):
        kept = before[i]
        for c in range(before[i], counts[i]):
            vector = order[places[i, c]]
            lows[i, kept] = lows[i, c]
            places[i, kept] = places[i, c]
            kept += vector < spans[i, 0] or vector >= spans[i, 1] or lasts[vector] >= stops[i]
        counts[i] = kept


@_selects
def guess_limits(
    counts: Int64[np.ndarray, "m_"],
    limits: Float32[np.ndarray, "m_"],
    lows: Float32[np.ndarray, "m_ room"],
    places: Int32[np.ndarray, "m_ room"],
    asked: Float32[np.ndarray, "m_ 3"],
    facts: Float32[np.ndarray, "panels 4 keys"],
    rank: int,
) -> None:
    """Lower each limit to about the score that has this rank in its list, and drop the keys above.

    A score is guessed to be in the middle of its bounds.
    """
    middles = np.empty(lows.shape[1], dtype=np.float32)
    width = facts.shape[2]
    for i in range(counts.size):
        count = counts[i]
        if count <= rank or limits[i] == GIVEN_UP:
            continue
        for c in range(count):
            panel, column = places[i, c] // width, places[i, c] % width
            middles[c] = lows[i, c] - asked[i, 1] * facts[panel, 2, column] - asked[i, 2] * facts[panel, 3, column]
        limits[i] = min(limits[i], _kth_bound(middles[:count], rank, 1))
        kept = 0
        for c in range(count):
            low, place = lows[i, c], places[i, c]
            lows[i, kept] = low
            places[i, kept] = place
            kept += low <= limits[i]
        counts[i] = kept


@_selects
def _measure(
    query: Float32[np.ndarray, "d"],
    vectors: Float32[np.ndarray, "u d"],
    scale: np.float32,
    listed: Int32[np.ndarray, "c"],
    squares: Float64[np.ndarray, "c"],
) -> None:
    """Squared distances in float32 of the listed vectors from the query, of both times the scale."""
    lines = (vectors.shape[1] * 4 + LINE - 1) // LINE
    for c in range(min(AHEAD, listed.size)):
        _fetch(vectors[listed[c]].ctypes.data, lines)
    for c in range(listed.size):
        if c + AHEAD < listed.size:
            _fetch(vectors[listed[c + AHEAD]].ctypes.data, lines)
        vector = vectors[listed[c]]
        total = np.float32(0)
        for j in range(query.size):
            difference = (query[j] - vector[j]) * scale
            total += difference * difference
        squares[c] = total


@_selects
def _low_first(
    lows: Float32[np.ndarray, "c"],
    places: Int32[np.ndarray, "c"],
    first: int,
    limit: float,
    order: Int32[np.ndarray, "u"],
) -> int:
    """Bring the places from `first` on whose bound is at most the limit to the front, as vectors; return their end."""
    end = first
    for c in range(first, places.size):
        low, place = lows[c], places[c]
        if low <= limit:
            lows[c], places[c] = lows[end], places[end]
            places[end] = order[place]
            end += 1
    return end


@_selects
def _keep_near(
    listed: Int32[np.ndarray, "room"],
    found: Float64[np.ndarray, "c"],
    offsets: Float64[np.ndarray, "u"],
    limit: float,
    error: float,
    ranked: Int64[np.ndarray, "room"],
    scores: Float64[np.ndarray, "room"],
) -> tuple[int, float]:
    """Keep the vectors whose score may be at or below the limit, ascending, with their scores; return how many.

    Beside that the largest of their squared distances. ranked is scratch.
    """
    count = 0
    farthest = 0.0
    for c in range(found.size):
        if found[c] / (1 + error) + offsets[listed[c]] <= limit:
            ranked[count] = np.int64(listed[c]) << 32 | c
            farthest = max(farthest, found[c])
            count += 1
    ranked[:count].sort()
    for c in range(count):
        listed[c] = ranked[c] >> 32
        scores[c] = found[ranked[c] & 0xFFFFFFFF] + offsets[listed[c]]
    return count, farthest


@_selects
def decide(
    queries: Float32[np.ndarray, "m d"],
    vectors: Float32[np.ndarray, "u d"],
    scale: np.float32,
    offsets: Float64[np.ndarray, "u"],
    order: Int32[np.ndarray, "u"],
    squares: Float64[np.ndarray, "m"],
    pads: Float64[np.ndarray, "m"],
    limits: Float32[np.ndarray, "m_"],
    lows: Float32[np.ndarray, "m_ room"],
    places: Int32[np.ndarray, "m_ room"],
    counts: Int64[np.ndarray, "m_"],
    k: int,
    error: float,
    scores: Float64[np.ndarray, "m_ room"],
    widths: Float64[np.ndarray, "m"],
) -> None:
    """Turn each list of places into one of vectors that may be among the k nearest, ascending, with their scores.

    The keys with the k smallest lower bounds are measured first: that spares measuring most of the others.

    A count of -1 says that the list is not proven complete. limits[i] is then one that will be, or if it is shorter
        than k, a bolder guess; or GIVEN_UP.

    scores: |x - y|^2 + offset in units of the scale; the true one is within widths[i] of it.
    error: of a float32 squared distance, relative.
    """
    room = lows.shape[1]
    found, highs, ranked = np.empty(room), np.empty(room), np.empty(room, dtype=np.int64)
    for i in range(squares.size):
        count = counts[i]
        if limits[i] == GIVEN_UP or (count < k and limits[i] < OPEN):
            counts[i] = -1
            limits[i] = limits[i] + (limits[i] - lows[i, :count].min()) if count > 0 else GIVEN_UP
            continue
        query, listed = queries[i], places[i, :count]
        first, below = 0, np.inf
        if count >= k:
            first = _low_first(lows[i], listed, 0, _kth_bound(lows[i, :count], k, k // 4), order)
            _measure(query, vectors, scale, listed[:first], found)
            for c in range(first):
                highs[c] = found[c] / (1 - error) + offsets[listed[c]]
            below = _kth_bound(highs[:first], k, 0) + 2 * pads[i] - squares[i]
            if below > limits[i]:
                counts[i] = -1
                limits[i] = np.nextafter(np.float32(below), np.float32(np.inf))
                continue
        end = _low_first(lows[i], listed, first, below, order)
        _measure(query, vectors, scale, listed[first:end], found[first:])
        for c in range(first, end):
            highs[c] = found[c] / (1 - error) + offsets[listed[c]]
        limit = _kth_bound(highs[:end], k, 0) + 2 * pads[i] if end > k else np.inf
        count, farthest = _keep_near(places[i], found[:end], offsets, limit, error, ranked, scores[i])
        widths[i] = farthest * error / (1 - error) + pads[i]
        counts[i] = count
