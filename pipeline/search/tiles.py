"""One search: its queries in tiles, each small enough for the cache, shared among threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pipeline.search.panels import GROUP, Panels, score_side
from pipeline.search.rank import rank_shortlists
from pipeline.search.scan import FULL_SCAN_TILE, full_scan
from pipeline.search.shortlist import UNLIMITED, finish, shortlist
from pipeline.threads import one_blas_thread

QUERY_TILE = 256  # queries scored together; with KEY_TILE it makes a score tile that stays in the L2 cache
SPARE = 1024  # entries beyond k that a shortlist may hold before its query goes to a full scan

_BUFFER_BYTES = 5 << 20  # shortlists of one query tile


@dataclass(frozen=True)
class Search:
    """One call of `search`; `panels` is None when k is so large that a shortlist would hold nearly every key."""

    keys: NDArray[np.float32]
    queries: NDArray[np.float32]
    ranges: NDArray[np.int64]
    rows: NDArray[np.int32]
    panels: Panels | None


def run(task: Search, threads: int) -> None:
    """Fill the rows of the search."""
    if len(task.queries) == 0:
        return
    if task.panels is None:
        tile, work = FULL_SCAN_TILE, _full_scans
    else:
        per_query = 8 * (_capacity(task) + task.panels.tile_keys)
        tile, work = max(1, min(QUERY_TILE, _BUFFER_BYTES // per_query)), _fast_searches
    # The workers take tiles from one iterator; next() on it is atomic, and which worker takes a tile is immaterial.
    starts = iter(range(0, len(task.queries), tile))
    with one_blas_thread():
        if threads == 1:
            work(task, starts, tile)
            return
        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(work, task, starts, tile) for _ in range(threads)]:
                future.result()


def _capacity(task: Search) -> int:
    """Entries a shortlist may hold before the next key tile; beyond, the bound separates too little."""
    k: int = task.rows.shape[1]
    return min(len(task.keys), max(4 * k, k + SPARE))


def _fast_searches(task: Search, starts: Iterator[int], tile: int) -> None:
    panels = cast(Panels, task.panels)
    k, capacity, full = task.rows.shape[1], _capacity(task), panels.tile_keys
    scratch = np.empty(tile * panels.tiles[0].shape[1], dtype=np.float32)
    # Keys are stored before they are counted, hence the room for one more than can be counted.
    lows = np.empty((tile, capacity + full + 1), dtype=np.float32)
    rows = np.empty(lows.shape, dtype=np.int32)
    for start in starts:
        part = slice(start, start + tile)
        queries, ranges, out = task.queries[part], task.ranges[part], task.rows[part]
        side = score_side(queries, panels)
        counts = np.where(side.far, -1, 0)
        limits = np.full(len(queries), UNLIMITED, dtype=np.float32)
        errors = (panels.norms, side.widths, side.pads)
        for i, right in enumerate(panels.tiles):
            scores = scratch[: len(queries) * right.shape[1]].reshape(len(queries), -1)
            np.matmul(side.left, right, out=scores)
            groups, first = scores.reshape(len(queries), GROUP, -1), i * full
            shortlist(groups, first, ranges, limits, lows, rows, counts, *errors, k, capacity, full, panels.largest)
        finish(lows, rows, counts, *errors, k)
        rank_shortlists(queries, task.keys, ranges, rows, counts, out)
        unproven = np.flatnonzero(counts < 0)
        for some in np.array_split(unproven, -(-len(unproven) // FULL_SCAN_TILE)) if len(unproven) else ():
            found = np.empty((len(some), k), dtype=np.int32)
            full_scan(queries[some], task.keys, ranges[some], found)
            out[some] = found


def _full_scans(task: Search, starts: Iterator[int], tile: int) -> None:
    for start in starts:
        part = slice(start, start + tile)
        full_scan(task.queries[part], task.keys, task.ranges[part], task.rows[part])
