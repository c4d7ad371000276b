"""One search: its queries in tiles, each small enough for the cache, shared among threads."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Int32, Int64

from pipeline.machine.threads import one_blas_thread
from pipeline.search.crowds import Crowds
from pipeline.search.panels import GROUP, Panels, Scored, score_side
from pipeline.search.pool import DistinctVectors
from pipeline.search.rank import rank_bounded
from pipeline.search.scan import SCAN_TILE, full_scan
from pipeline.search.shortlist import UNLIMITED, finish, shortlist

QUERY_TILE = 256  # queries scored together; with KEY_TILE it makes a score tile that stays in the L2 cache
SPARE = 1024  # entries beyond k that a shortlist may hold before its query goes to a scan

LONGEST = 0.25  # of the pool: beyond, scoring all of it in order is faster than scoring a list

_BUFFER_BYTES = 5 << 20  # shortlists of one query tile


@dataclass(frozen=True)
class SearchTask:
    """One call of `search`; spans: the excluded ranges in terms of the pool's vectors."""

    pool: DistinctVectors
    panels: Panels
    crowds: Crowds
    queries: Float32[np.ndarray, "q d"]
    ranges: Int64[np.ndarray, "q 2"]
    spans: Int64[np.ndarray, "q 2"]
    rows: Int32[np.ndarray, "q k"]

    def part(self, which: slice | Int64[np.ndarray, "m"], rows: Int32[np.ndarray, "m k"]) -> SearchTask:
        """The same search for some of the queries, answered in `rows`."""
        return SearchTask(
            self.pool, self.panels, self.crowds, self.queries[which], self.ranges[which], self.spans[which], rows
        )

    def some(self, which: Int64[np.ndarray, "m"]) -> SearchTask:
        """The same search for some of the queries, with rows of its own."""
        return self.part(which, np.empty((len(which), self.rows.shape[1]), dtype=np.int32))


@dataclass(frozen=True)
class Shortlists:
    """For each query of a tile, vectors that hold its k nearest.

    listed, lows: (m, room) their numbers, ascending, and lower bounds of their scores.
    counts: (m,) how many, -1 where there would be too many.
    limits: (m,) upper bounds of the k-th scores, where more than k are listed.
    """

    listed: Int32[np.ndarray, "m room"]
    lows: Float32[np.ndarray, "m room"]
    counts: Int64[np.ndarray, "m"]
    limits: Float32[np.ndarray, "m"]


class Searched(Protocol):
    """Vectors to search: a pool or a crowd of it."""

    @property
    def pool(self) -> DistinctVectors: ...
    @property
    def panels(self) -> Panels: ...
    @property
    def crowds(self) -> Crowds: ...


def search_task(
    searched: Searched,
    queries: Float32[np.ndarray, "q d"],
    ranges: Int64[np.ndarray, "q 2"],
    rows: Int32[np.ndarray, "q k"],
) -> SearchTask:
    """A search for queries (q, d) with excluded ranges of rows (q, 2), answered in `rows` (q, k)."""
    pool = searched.pool
    return SearchTask(pool, searched.panels, searched.crowds, queries, ranges, pool.spans(ranges), rows)


def fill_rows(task: SearchTask, threads: int) -> None:
    """Fill the rows of the search."""
    if len(task.queries) == 0:
        return
    per_query = 8 * (_capacity(task) + task.panels.tile_keys)
    tile = max(1, min(QUERY_TILE, _BUFFER_BYTES // per_query))
    with one_blas_thread():
        share_tiles(functools.partial(_products, task), len(task.queries), tile, threads)


def share_tiles(work: Callable[[Iterator[int], int], None], count: int, tile: int, threads: int) -> None:
    """Call `work` in every thread with one iterator of tile starts, and wait.

    next() on a range's iterator is atomic, and which thread takes a tile is immaterial.
    """
    tile = max(1, min(tile, -(-count // threads)))
    starts = iter(range(0, count, tile))
    helpers = min(threads, -(-count // tile)) - 1
    if helpers <= 0:
        work(starts, tile)
        return
    futures = [_helpers(threads).submit(work, starts, tile) for _ in range(helpers)]
    try:
        work(starts, tile)
    finally:
        for future in futures:
            future.result()


@functools.cache
def _helpers(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for the next search: starting new ones costs as much as searching a small pool."""
    return ThreadPoolExecutor(threads, thread_name_prefix="search")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads do not survive a fork


def _capacity(task: SearchTask) -> int:
    """Entries a shortlist may hold before the next key tile; beyond, the bound separates too little."""
    k: int = task.rows.shape[1]
    return min(len(task.pool), max(4 * k, k + SPARE))


def _products(task: SearchTask, starts: Iterator[int], tile: int) -> None:
    for start in starts:
        _answer(task.part(slice(start, start + tile), task.rows[start : start + tile]))


def _answer(task: SearchTask) -> None:
    """Fill the rows of one query tile."""
    left = _in_crowds(task, np.arange(len(task.queries)))
    if len(left) == len(task.queries):
        _by_products(task)
    elif len(left):
        part = task.some(left)
        _by_products(part)
        task.rows[left] = part.rows


def _by_products(task: SearchTask) -> None:
    """Shortlists from matrix products; crowds, long lists and scans for queries whose shortlists proved too long."""
    side = score_side(task.queries, task.panels)
    lists = _shortlists(task, side, _capacity(task))
    _rank(task, side, lists)
    scanned = [np.flatnonzero(side.far)]
    for some in _batches(np.flatnonzero((lists.counts < 0) & ~side.far)):
        scanned.append(_from_long_lists(task, _in_crowds(task, some)))
    for some in _batches(np.concatenate(scanned)):
        part = task.some(some)
        full_scan(part.queries, part.pool, part.spans, part.ranges, part.rows)
        task.rows[some] = part.rows


def _from_long_lists(task: SearchTask, which: Int64[np.ndarray, "m"]) -> Int64[np.ndarray, "left"]:
    """Fill the rows of some queries by crowds that they teach, or by all that the product leaves; return the rest."""
    if len(which) == 0:
        return which
    panels, crowds, u = task.panels, task.crowds, len(task.pool)
    part = task.some(which)
    side = score_side(part.queries, panels)
    lists = _shortlists(part, side, u)
    crowds.learn(part.queries, lists.limits)
    left = np.isin(which, _in_crowds(task, which))
    counts = lists.counts
    counts[~left | (counts > LONGEST * u)] = -1
    _rank(part, side, lists)
    task.rows[which[counts >= 0]] = part.rows[counts >= 0]
    return which[left & (counts < 0)]


def _in_crowds(task: SearchTask, which: Int64[np.ndarray, "m"]) -> Int64[np.ndarray, "left"]:
    """Fill the rows of those of the queries that a crowd decides; return the others."""
    crowds, k = task.crowds, task.rows.shape[1]
    decided = np.zeros(len(which), dtype=np.bool_)
    for crowd, some in crowds.around(task.queries[which]):
        ranges = np.searchsorted(crowd.rows, task.ranges[which[some]])
        enough = len(crowd.rows) - (ranges[:, 1] - ranges[:, 0]) >= k
        some, ranges = some[enough], np.ascontiguousarray(ranges[enough])
        if len(some) == 0:
            continue
        queries, rows = task.queries[which[some]], np.empty((len(some), k), dtype=np.int32)
        _answer(search_task(crowd, queries, ranges, rows))
        proven = crowd.proves(queries, rows[:, -1], crowds.longest)
        task.rows[which[some[proven]]] = crowd.rows[rows[proven]]
        decided[some[proven]] = True
    return which[~decided]


def _shortlists(task: SearchTask, side: Scored, capacity: int) -> Shortlists:
    """The vectors that may be among the nearest of each query of a tile."""
    panels = task.panels
    m, k = task.rows.shape
    full = panels.tile_keys
    # Keys are stored before they are counted, hence the room for one more than can be counted.
    lows = np.empty((m, capacity + panels.tiles[0].shape[1] + 1), dtype=np.float32)
    listed = np.empty(lows.shape, dtype=np.int32)
    counts = np.where(side.far, -1, 0)
    limits = np.full(m, UNLIMITED, dtype=np.float32)
    hidden = (task.spans, np.ascontiguousarray(task.ranges[:, 1]), task.pool.lasts)
    errors = (panels.norms, side.widths, side.pads)
    scratch = np.empty(m * panels.tiles[0].shape[1], dtype=np.float32)
    for i, right in enumerate(panels.tiles):
        scores = scratch[: m * right.shape[1]].reshape(m, -1)
        np.matmul(side.left, right, out=scores)
        shortlist(
            *(scores.reshape(m, GROUP, -1), i * full, *hidden, limits, lows, listed, counts),
            *(*errors, k, capacity, full, panels.largest),
        )
    finish(lows, listed, counts, limits, *errors, k)
    return Shortlists(listed, lows, counts, limits)


def _rank(task: SearchTask, side: Scored, lists: Shortlists) -> None:
    pool = task.pool
    errors = (task.panels.norms, side.widths, side.pads)
    rank_bounded(
        *(task.queries, pool.vectors, pool.cosine, lists.listed, lists.lows, lists.counts, *errors),
        *(task.ranges, pool.starts, pool.members, task.rows),
    )


def _batches(queries: Int64[np.ndarray, "m"]) -> list[Int64[np.ndarray, "_"]]:
    return np.array_split(queries, -(-len(queries) // SCAN_TILE)) if len(queries) else []
