"""Search that looks at every key in bytes and at few of them in float32 and float64; the rows are the same.

A byte product (pipeline.search.vnni) with a proven bound (pipeline.search.bytes) lists some hundreds of keys for each
query, float32 differences (pipeline.search.lists) leave little more than k, and float64 orders those that these cannot
tell apart. What is not decided in this way is left to the float32 product.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from pipeline.search.bytes import ByteKeys, ByteQueries, byte_side, pack_bytes
from pipeline.search.lists import GIVEN_UP, OPEN, decide, drop_hidden, guess_limits, stop_long
from pipeline.search.panels import EPS32
from pipeline.search.pool import DistinctVectors
from pipeline.search.rank import rank_near
from pipeline.search.tiles import share_tiles
from pipeline.search.vnni import KEYS, LANES, QUERIES, has_vnni, sift

QUERY_TILE = 256  # queries whose bytes stay in the second cache
CHUNK = 10  # panels between two looks at how long the lists have become
FIRST = 2  # panels before limits are guessed; they are again whenever twice as much has been seen
SPREAD = 3  # standard deviations by which a guess is too high
LONGEST = 4096  # keys of a list that measuring one by one pays for, at most

NARROWEST = 64  # dimensions of vectors, from which on bytes pay
FEWEST = 4096  # vectors of a pool, likewise: fewer queries than repay packing ask smaller ones
SHARE = 16  # vectors for each neighbour wanted, likewise
TAME = 2.0**50  # of a scale up to this or down to its inverse, float32 differences neither overflow nor vanish
WIDEST = 1 << 15  # dimensions whose products of bytes are added without overflow


def worth_bytes(pool: DistinctVectors, k: int) -> bool:
    """Whether bytes are worth trying for k neighbours in the pool, on this processor."""
    return has_vnni() and pool.vectors.shape[1] >= NARROWEST and len(pool) >= max(FEWEST, SHARE * k)


def prepared(pool: DistinctVectors) -> ByteKeys | None:
    """The pool's vectors as bytes; None where float32 differences of them could overflow or vanish."""
    if pool.vectors.shape[1] > WIDEST:
        return None
    keys = pack_bytes(pool.vectors, pool.cosine)
    return keys if 1 / TAME <= keys.scale <= TAME else None


@dataclass(frozen=True)
class ByteSearch:
    """One search, or a part of it; spans are the excluded ranges in terms of the pool's vectors."""

    pool: DistinctVectors
    keys: ByteKeys
    queries: Float32[np.ndarray, "q d"]
    ranges: Int64[np.ndarray, "q 2"]
    spans: Int64[np.ndarray, "q 2"]
    rows: Int32[np.ndarray, "q k"]

    def part(self, which: slice | Int64[np.ndarray, "m"], rows: Int32[np.ndarray, "m k"]) -> ByteSearch:
        """The same search for some of the queries, answered in `rows`."""
        return ByteSearch(self.pool, self.keys, self.queries[which], self.ranges[which], self.spans[which], rows)

    def some(self, which: Int64[np.ndarray, "m"]) -> ByteSearch:
        """The same search for some of the queries, with rows of its own."""
        return self.part(which, np.empty((len(which), self.rows.shape[1]), dtype=np.int32))

    @property
    def capacity(self) -> int:
        """Keys that a list may hold; beyond, the float32 product is faster."""
        k: int = self.rows.shape[1]
        return max(4 * k, k + 1024, min(len(self.pool) // 16, LONGEST))


@dataclass(frozen=True)
class Lists:
    """The keys of a query tile's lists; m_ is a multiple of QUERIES, places without a query list nothing.

    places: where the keys lie in the panels, later their vectors; scores: what differences make of them.
    """

    limits: Float32[np.ndarray, "m_"]
    counts: Int64[np.ndarray, "m_"]
    lows: Float32[np.ndarray, "m_ room"]
    places: Int32[np.ndarray, "m_ room"]
    scores: Float64[np.ndarray, "m_ room"]

    def begin(self, limits: Float32[np.ndarray, "m"]) -> Lists:
        """Empty lists of m queries in the same memory."""
        m = len(limits)
        padded = -(-m // QUERIES) * QUERIES
        own = Lists(*(each[:padded] for each in (self.limits, self.counts, self.lows, self.places, self.scores)))
        own.counts[:] = 0
        own.limits[:m] = limits
        own.limits[m:] = GIVEN_UP
        return own


def fill_by_bytes(search: ByteSearch, threads: int) -> Int64[np.ndarray, "left"]:
    """Fill the rows that bytes decide; return the numbers of the other queries."""
    decided = np.zeros(len(search.queries), dtype=np.bool_)
    share_tiles(functools.partial(_tiles, search, decided), len(search.queries), QUERY_TILE, threads)
    return np.flatnonzero(~decided)


def _tiles(search: ByteSearch, decided: Bool[np.ndarray, "q"], starts: Iterator[int], tile: int) -> None:
    padded = -(-tile // QUERIES) * QUERIES
    shape = (padded, search.capacity + CHUNK * KEYS + LANES)
    limits, counts = np.empty(padded, dtype=np.float32), np.empty(padded, dtype=np.int64)
    memory = Lists(limits, counts, np.empty(shape, np.float32), np.empty(shape, np.int32), np.empty(shape))
    for start in starts:
        part = slice(start, min(start + tile, len(search.queries)))
        own = search.part(part, search.rows[part])
        m = len(own.queries)
        lists = memory.begin(np.full(m, OPEN))
        decided[part] = _answer(own, lists, guessing=True)
        again = np.flatnonzero(~decided[part] & (lists.limits[:m] != GIVEN_UP))
        if len(again):  # a guess was too low
            rest = own.some(again)
            found = _answer(rest, memory.begin(lists.limits[again]), guessing=False)
            own.rows[again[found]] = rest.rows[found]
            decided[start + again[found]] = True


def _answer(search: ByteSearch, lists: Lists, guessing: bool) -> Bool[np.ndarray, "m"]:
    """Fill the rows of a tile's queries as far as their limits allow; return (m,) which are filled."""
    keys, pool = search.keys, search.pool
    m, d = search.queries.shape
    side = byte_side(search.queries, keys)
    lists.limits[:m][side.far] = GIVEN_UP
    _list_keys(search, side, lists, guessing)
    widths = np.empty(m)
    decide(
        *(search.queries, pool.vectors, np.float32(keys.scale), keys.offsets, keys.order, side.squares, side.pads),
        *(lists.limits, lists.lows, lists.places, lists.counts, search.rows.shape[1], (d + 8) * EPS32 * 1.1),
        *(lists.scores, widths),
    )
    counts = lists.counts[:m]
    members = (pool.starts, pool.members)
    rank_near(
        *(search.queries, pool.vectors, pool.cosine, lists.places, counts, lists.scores, widths),
        *(search.ranges, *members, search.rows),
    )
    return counts >= 0


def _list_keys(search: ByteSearch, side: ByteQueries, lists: Lists, guessing: bool) -> None:
    """List the keys at or below each limit; while guessing, limits fall with what the keys seen so far suggest."""
    keys = search.keys
    own = (lists.limits, lists.counts, lists.lows, lists.places)
    shown = np.zeros(len(lists.counts), dtype=np.int64)  # keys of each list that are known not to be hidden
    stops = np.ascontiguousarray(search.ranges[:, 1])
    last = len(keys.codes)
    seen, mark = 0, FIRST if guessing else last
    while seen < last:
        part = slice(seen, min(seen + CHUNK, mark, last))
        sift(side.codes, side.starts, side.asked, keys.codes[part], keys.facts[part], seen * KEYS, *own)
        stop_long(lists.counts, lists.limits, search.capacity)
        seen = part.stop
        if seen in (mark, last):
            drop_hidden(
                lists.counts, shown, lists.lows, lists.places, keys.order, search.spans, stops, search.pool.lasts
            )
        if seen == mark < last:
            mark *= 2
            expected = search.rows.shape[1] * seen / last
            rank = math.ceil(expected + SPREAD * math.sqrt(expected)) + SPREAD
            guess_limits(lists.counts, lists.limits, lists.lows, lists.places, side.asked, keys.facts, rank)
            shown[:] = lists.counts
