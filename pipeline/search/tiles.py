"""One search: its queries in tiles, each small enough for the cache, shared among threads."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float32, Int32, Int64

from pipeline.machine.threads import one_blas_thread
from pipeline.search.panels import GROUP, Panels, Scored, score_side
from pipeline.search.pool import DistinctVectors
from pipeline.search.rank import rank_shortlists
from pipeline.search.scan import SCAN_TILE, difference_scan, full_scan
from pipeline.search.shortlist import UNLIMITED, finish, shortlist

QUERY_TILE = 256  # queries scored together; with KEY_TILE it makes a score tile that stays in the L2 cache
SPARE = 1024  # entries beyond k that a shortlist may hold before its query goes to a scan

_BUFFER_BYTES = 5 << 20  # shortlists of one query tile


@dataclass(frozen=True)
class SearchTask:
    """One call of `search`; `panels` is None when k is so large that a shortlist would hold nearly every vector.

    spans: the excluded ranges in terms of the pool's vectors.
    """

    pool: DistinctVectors
    panels: Panels | None
    queries: Float32[np.ndarray, "q d"]
    ranges: Int64[np.ndarray, "q 2"]
    spans: Int64[np.ndarray, "q 2"]
    rows: Int32[np.ndarray, "q k"]

    def part(self, which: slice | Int64[np.ndarray, "m"], rows: Int32[np.ndarray, "m k"]) -> SearchTask:
        """The same search for some of the queries, answered in `rows`."""
        return SearchTask(self.pool, self.panels, self.queries[which], self.ranges[which], self.spans[which], rows)


def fill_rows(task: SearchTask, threads: int) -> None:
    """Fill the rows of the search."""
    if len(task.queries) == 0:
        return
    if task.panels is None:
        _shared(functools.partial(_scans, task), len(task.queries), SCAN_TILE, threads)
        return
    per_query = 8 * (_capacity(task) + task.panels.tile_keys)
    tile = max(1, min(QUERY_TILE, _BUFFER_BYTES // per_query))
    with one_blas_thread():
        _shared(functools.partial(_products, task), len(task.queries), tile, threads)


def _shared(work: Callable[[Iterator[int], int], None], count: int, tile: int, threads: int) -> None:
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
    """Shortlists from matrix products, then scans for the queries whose shortlists proved too long."""
    panels = cast(Panels, task.panels)
    capacity, full = _capacity(task), panels.tile_keys
    scratch = np.empty(tile * panels.tiles[0].shape[1], dtype=np.float32)
    # Keys are stored before they are counted, hence the room for one more than can be counted.
    lows = np.empty((tile, capacity + full + 1), dtype=np.float32)
    listed = np.empty(lows.shape, dtype=np.int32)
    for start in starts:
        own = task.part(slice(start, start + tile), task.rows[start : start + tile])
        side = score_side(own.queries, panels)
        counts = _shortlists(own, side, scratch, lows, listed, capacity)
        _rank(own, listed, counts)
        _undecided(own, np.flatnonzero((counts < 0) & ~side.far), np.flatnonzero(side.far), capacity)


def _shortlists(
    task: SearchTask,
    side: Scored,
    scratch: Float32[np.ndarray, "scores"],
    lows: Float32[np.ndarray, "tile room"],
    listed: Int32[np.ndarray, "tile room"],
    capacity: int,
) -> Int64[np.ndarray, "m"]:
    panels = cast(Panels, task.panels)
    m, k = task.rows.shape
    counts = np.where(side.far, -1, 0)
    limits = np.full(m, UNLIMITED, dtype=np.float32)
    hidden = (task.spans, np.ascontiguousarray(task.ranges[:, 1]), task.pool.lasts)
    errors = (panels.norms, side.widths, side.pads)
    full = panels.tile_keys
    for i, right in enumerate(panels.tiles):
        scores = scratch[: m * right.shape[1]].reshape(m, -1)
        np.matmul(side.left, right, out=scores)
        shortlist(
            *(scores.reshape(m, GROUP, -1), i * full, *hidden, limits, lows, listed, counts),
            *(*errors, k, capacity, full, panels.largest),
        )
    finish(lows, listed, counts, *errors, k)
    return counts


def _rank(task: SearchTask, listed: Int32[np.ndarray, "tile room"], counts: Int64[np.ndarray, "m"]) -> None:
    pool = task.pool
    members = (pool.starts, pool.members)
    rank_shortlists(task.queries, pool.vectors, pool.cosine, listed, counts, task.ranges, *members, task.rows)


def _undecided(task: SearchTask, near: Int64[np.ndarray, "near"], far: Int64[np.ndarray, "far"], capacity: int) -> None:
    """Scan for the listed queries: by float32 differences those near the keys, in float64 what that leaves."""
    pool, panels = task.pool, cast(Panels, task.panels)
    left = [far]
    for some in _batches(near):
        part = task.part(some, np.empty((len(some), task.rows.shape[1]), dtype=np.int32))
        decided = difference_scan(part.queries, pool, panels, part.spans, part.ranges, capacity, part.rows)
        task.rows[some[decided]] = part.rows[decided]
        left.append(some[~decided])
    for some in _batches(np.concatenate(left)):
        part = task.part(some, np.empty((len(some), task.rows.shape[1]), dtype=np.int32))
        full_scan(part.queries, pool, part.spans, part.ranges, part.rows)
        task.rows[some] = part.rows


def _batches(queries: Int64[np.ndarray, "m"]) -> list[Int64[np.ndarray, "_"]]:
    return np.array_split(queries, -(-len(queries) // SCAN_TILE)) if len(queries) else []


def _scans(task: SearchTask, starts: Iterator[int], tile: int) -> None:
    for start in starts:
        part = task.part(slice(start, start + tile), task.rows[start : start + tile])
        full_scan(part.queries, part.pool, part.spans, part.ranges, part.rows)
