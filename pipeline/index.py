"""Exact k-nearest-neighbour search by squared Euclidean distance, with one excluded range per query."""

from __future__ import annotations

import functools
import inspect
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numba
import numpy as np
from jaxtyping import Float32, Int32, Int64
from numpy.typing import NDArray

QUERY_TILE = 256  # queries scored together; with KEY_TILE it makes a score tile that stays in the L2 cache
KEY_TILE = 512  # keys scored together; a multiple of GROUP
GROUP = 8  # consecutive keys whose smallest score is compared with the limit before any of them is looked at
FULL_SCAN_TILE = 16  # queries that share one transposed block of keys in a full scan
FULL_SCAN_KEYS = 512  # keys in that block
SPARE = 1024  # entries beyond k that a shortlist may hold before its query goes to a full scan
RANKED_BY_COUNTING = 512  # entries up to which counting beats a sort
SMALL_WORK = 1 << 22  # multiply-adds below which starting threads costs more than it saves

_BUFFER_BYTES = 5 << 20  # shortlists of one query tile
_EPS32 = 2.0**-24
_EPS64 = 2.0**-53
_UNLIMITED = np.float32(1e38)  # above every score: scores stay below 1e26
_NEVER = np.float32(3e38)  # the score of an excluded or padded key
_FAR = 1e12  # norm in units of the widest key coordinate beyond which float32 scores say nothing

_F = TypeVar("_F", bound=Callable[..., Any])
_BLAS_LOCK = threading.Lock()  # the number of BLAS threads belongs to the process: one search at a time sets it


def _compiled(**options: Any) -> Callable[[_F], _F]:
    """numba.njit without the GIL and cached on disk, keeping the function's static type."""

    def compile_(function: _F) -> _F:
        # A test run that checks shapes wraps every function of the package; numba needs the one below.
        return cast(_F, numba.njit(cache=True, nogil=True, **options)(inspect.unwrap(function)))

    return compile_


# No NaN reaches the selection, so minima may be vectorised. Distances never use this: their order of adding is fixed.
_selects = _compiled(fastmath={"nnan", "nsz"})


@dataclass(frozen=True)
class Neighbours:
    """The nearest keys of each query.

    rows: (q, k) int32 rows into the keys, ascending by (squared distance, row).
    candidates: (q,) int64, the keys each query could retrieve; where this is below k, the last k - candidates
        entries of its rows repeat the last eligible key.
    """

    rows: Int32[np.ndarray, "q k"]
    candidates: Int64[np.ndarray, " q"]


class ExactIndex:
    """The k keys nearest to each query, exactly and reproducibly.

    The distance is the sum over dimensions, in order, of squared differences taken and added in float64; equal
    distances go to the smaller row. Candidates come from a float32 matrix product with a proven error bound; where
    the bound leaves too many candidates, that query is scanned in float64. No result depends on tiles, threads,
    batches or the BLAS in use.

    keys: (n, d) float32, finite, n >= 1 and d >= 1. Not copied when C-contiguous: do not change them afterwards.
    threads: worker threads of `search`; None means every core this process may use.

    Raises ValueError for another dtype or shape, for a value that is not finite, and for threads < 1.

    Source: REGENT (arXiv:2412.04759), offline retrieval; upstream asks an approximate index whose effort is tuned by
    wall clock, this is what it approximates (REGENT preprocessing, exact search decision).
    """

    def __init__(self, keys: Float32[np.ndarray, "n d"], threads: int | None = None) -> None:
        _check_vectors("keys", keys)
        if keys.shape[0] == 0 or keys.shape[1] == 0:
            raise ValueError(f"keys: wanted at least one row and one column, found shape {keys.shape}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads: wanted at least 1 or None, found {threads}")
        self.keys = np.ascontiguousarray(keys)
        self.threads = threads if threads is not None else _available_cores()

    def __len__(self) -> int:
        return len(self.keys)

    def search(
        self,
        queries: Float32[np.ndarray, "q d"],
        k: int,
        excluded: Int64[np.ndarray, "q 2"] | None = None,
    ) -> Neighbours:
        """The k nearest keys of every query.

        queries: (q, d) float32, finite; q may be 0.
        k: neighbours per query, >= 1; may exceed the number of keys.
        excluded: (q, 2) int64, the range [start, stop) of key rows that a query never retrieves (its own episode);
            start == stop excludes nothing. None excludes nothing for every query.

        Raises ValueError for other dtypes or shapes, values that are not finite, k < 1, a range outside
        0 <= start <= stop <= n, and a query whose range leaves no candidate.
        """
        n, d = self.keys.shape
        _check_vectors("queries", queries)
        if queries.shape[1] != d:
            raise ValueError(f"queries: wanted {d} columns like the keys, found shape {queries.shape}")
        if k < 1:
            raise ValueError(f"k: wanted at least 1, found {k}")
        ranges = _check_ranges(excluded, len(queries), n)
        rows = np.empty((len(queries), k), dtype=np.int32)
        task = _Search(self.keys, np.ascontiguousarray(queries), ranges, rows, self._panels if 2 * k < n else None)
        _run(task, self.threads if len(queries) * n * d > SMALL_WORK else 1)
        return Neighbours(rows=rows, candidates=n - (ranges[:, 1] - ranges[:, 0]))

    @functools.cached_property
    def _panels(self) -> _Panels:
        return _pack(self.keys)


# ---- input ----


def _check_vectors(name: str, vectors: NDArray[np.float32]) -> None:
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise ValueError(f"{name}: wanted a 2-d float32 array, found {vectors.ndim}-d {vectors.dtype}")
    for start in range(0, len(vectors), 1 << 16):  # in blocks: the mask of a large array is large too
        finite = np.isfinite(vectors[start : start + (1 << 16)]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise ValueError(f"{name}: wanted finite values, found {vectors[row]} in row {row}")


def _check_ranges(excluded: NDArray[np.int64] | None, queries: int, keys: int) -> NDArray[np.int64]:
    if excluded is None:
        return np.zeros((queries, 2), dtype=np.int64)
    if excluded.shape != (queries, 2) or not np.issubdtype(excluded.dtype, np.integer):
        raise ValueError(
            f"excluded: wanted integers of shape {(queries, 2)}, found {excluded.dtype} of {excluded.shape}"
        )
    ranges = np.ascontiguousarray(excluded, dtype=np.int64)
    start, stop = ranges[:, 0], ranges[:, 1]
    wrong = (start < 0) | (stop < start) | (stop > keys)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"excluded: wanted 0 <= start <= stop <= {keys}, found {ranges[row]} for query {row}")
    empty = stop - start == keys
    if empty.any():
        row = int(np.argmax(empty))
        raise ValueError(f"excluded: wanted at least one candidate, query {row} excludes all {keys} keys")
    return ranges


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ---- the float32 side ----
#
# With a, b the query and the key after subtracting a centre and multiplying by a power of two, keys are ordered by
# S = |b|^2 - 2ab, which is the squared distance less |a|^2. One matrix product of [a, 1, -w] and [-2b, |b|^2, |b|]
# gives a float32 lower bound of S: rounding a and b, adding d + 2 terms in any order and rounding |b|^2 cost at most
# (d + 16) * 2^-24 * 1.1 * (2|a||b| + |b|^2), which is at most w |b| for w = that factor * (2|a| + largest |b|).
# Adding 2 w |b| makes an upper bound. k keys with upper bounds <= u prove that no key with lower bound > u is among
# the k nearest. The bound follows each key's own norm, so a far outlier does not loosen it for the others. A small
# `pad` per query covers float32 underflow and the roundings of the float64 distance that defines the order.


@dataclass(frozen=True)
class _Panels:
    """The keys as the right-hand side of the score product.

    Column v * (width / GROUP) + g of a panel is its key GROUP * g + v, so that the minimum over a group of
    consecutive keys is an element-wise minimum of GROUP runs of the score row.
    """

    centre: NDArray[np.float64]
    scale: float
    norms: NDArray[np.float32]
    largest: float
    tiles: list[NDArray[np.float32]]


def _round_up(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return cast(NDArray[np.float32], np.nextafter(values.astype(np.float32), np.float32(np.inf)))


def _pack(keys: NDArray[np.float32]) -> _Panels:
    n, d = keys.shape
    centre = keys.mean(axis=0, dtype=np.float64)
    starts = range(0, n, KEY_TILE)
    peak = max(float(np.abs(keys[i : i + KEY_TILE] - centre).max()) for i in starts)
    scale = math.ldexp(1.0, -math.frexp(peak)[1])
    norms = np.empty(n, dtype=np.float32)
    tiles = []
    for i in starts:
        block = ((keys[i : i + KEY_TILE] - centre) * scale).astype(np.float32)
        squares = np.square(block, dtype=np.float64).sum(axis=1)
        norms[i : i + len(block)] = _round_up(np.sqrt(squares))
        width = -(-len(block) // GROUP) * GROUP
        tile = np.zeros((d + 2, width), dtype=np.float32)
        tile[:d, : len(block)] = -2 * block.T
        tile[d] = _NEVER
        tile[d, : len(block)] = squares
        tile[d + 1, : len(block)] = norms[i : i + len(block)]
        tiles.append(np.ascontiguousarray(tile.reshape(d + 2, -1, GROUP).swapaxes(1, 2)).reshape(d + 2, width))
    return _Panels(centre, scale, norms, float(norms.max()), tiles)


@dataclass(frozen=True)
class _Scored:
    """A query tile as the left-hand side of the score product, with its error terms."""

    left: NDArray[np.float32]
    widths: NDArray[np.float32]
    pads: NDArray[np.float64]
    far: NDArray[np.bool_]


def _score_side(queries: NDArray[np.float32], panels: _Panels) -> _Scored:
    m, d = queries.shape
    moved = (queries - panels.centre) * panels.scale
    norms = np.sqrt(np.square(moved).sum(axis=1))
    far = norms > _FAR
    moved[far] = 0
    norms[far] = 0
    left = np.empty((m, d + 2), dtype=np.float32)
    widths = _round_up((d + 16) * _EPS32 * 1.1 * (2 * norms + panels.largest))
    left[:, :d], left[:, d], left[:, d + 1] = moved, 1, -widths
    pads = 4 * (d + 3) * _EPS64 * np.square(norms + panels.largest) + 2.0**-100
    return _Scored(left, widths, pads, far)


@_selects
def _kth_bound(values: NDArray[Any], k: int, slack: int) -> Any:
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
    lows: NDArray[np.float32],
    rows: NDArray[np.int32],
    count: int,
    k: int,
    slack: int,
    norms: NDArray[np.float32],
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
    scores: NDArray[np.float32],
    first: int,
    limit: float,
    lows: NDArray[np.float32],
    rows: NDArray[np.int32],
    count: int,
    lowest: NDArray[np.float32],
    hits: NDArray[np.int32],
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
def _shortlist(
    scores: NDArray[np.float32],
    first: int,
    ranges: NDArray[np.int64],
    limits: NDArray[np.float32],
    lows: NDArray[np.float32],
    rows: NDArray[np.int32],
    counts: NDArray[np.int64],
    norms: NDArray[np.float32],
    widths: NDArray[np.float32],
    pads: NDArray[np.float64],
    k: int,
    capacity: int,
    full: int,
    largest: float,
) -> None:
    """Take one score tile (m, GROUP, groups) into the shortlists; a count of -1 gives up on its query.

    full is the width of a tile without padding, largest the norm of the farthest key.
    """
    depth, groups = scores.shape[1], scores.shape[2]
    width = depth * groups
    lowest = np.empty(groups, dtype=np.float32)
    hits = np.empty(groups, dtype=np.int32)
    for i in range(scores.shape[0]):
        count = counts[i]
        if count < 0:
            continue
        start, stop = max(ranges[i, 0] - first, 0), min(ranges[i, 1] - first, width)
        for p in range(start, stop):
            scores[i, p % depth, p // depth] = np.float32(3e38)
        if count > 2 * k + 64:
            limits[i], count = _tighten(lows[i], rows[i], count, k, k // 4, norms, widths[i], pads[i])
        elif first == 0 and stop <= start and width == full and width >= 2 * k:
            # A limit from the first tile alone spares storing all of it.
            bound = np.float64(_kth_bound(scores[i].reshape(width), k, k // 4))
            bound += 2 * np.float64(widths[i]) * largest + pads[i]
            limits[i] = np.nextafter(np.float32(bound), np.float32(np.inf))
        if count > capacity:
            counts[i] = -1
            continue
        counts[i] = _collect(scores[i], first, limits[i], lows[i], rows[i], count, lowest, hits)


# ---- the float64 side ----


@_compiled()
def _distances_to_rows(
    query: NDArray[np.float64], keys: NDArray[np.float32], rows: NDArray[np.int32], out: NDArray[np.float64]
) -> None:
    """Squared distances to the listed rows; several independent sums at a time hide the latency of adding."""
    d = query.size
    whole = rows.size - rows.size % 8
    for c in range(0, whole, 8):
        k0, k1, k2, k3 = keys[rows[c]], keys[rows[c + 1]], keys[rows[c + 2]], keys[rows[c + 3]]
        k4, k5, k6, k7 = keys[rows[c + 4]], keys[rows[c + 5]], keys[rows[c + 6]], keys[rows[c + 7]]
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = 0.0
        for j in range(d):
            x = query[j]
            a0 += (x - k0[j]) ** 2
            a1 += (x - k1[j]) ** 2
            a2 += (x - k2[j]) ** 2
            a3 += (x - k3[j]) ** 2
            a4 += (x - k4[j]) ** 2
            a5 += (x - k5[j]) ** 2
            a6 += (x - k6[j]) ** 2
            a7 += (x - k7[j]) ** 2
        out[c], out[c + 1], out[c + 2], out[c + 3] = a0, a1, a2, a3
        out[c + 4], out[c + 5], out[c + 6], out[c + 7] = a4, a5, a6, a7
    for c in range(whole, rows.size):
        key = keys[rows[c]]
        a0 = 0.0
        for j in range(d):
            a0 += (query[j] - key[j]) ** 2
        out[c] = a0


@_compiled()
def _order(distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions by (distance, position).

    Short lists are ranked by counting the smaller ones, in float32 because that runs on wide vectors without a branch;
    an insertion pass then settles what float32 cannot tell apart. Several times faster than a sort at 100 entries.
    """
    m = distances.size
    if m > RANKED_BY_COUNTING:
        return np.argsort(distances, kind="mergesort")  # stable
    rough = np.full((m + 3) // 4 * 4, np.inf, dtype=np.float32)
    for i in range(m):
        rough[i] = np.float32(distances[i])
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
        while slot > 0 and distances[order[slot - 1]] > distances[moving]:
            order[slot] = order[slot - 1]
            slot -= 1
        order[slot] = moving
    return order


@_compiled()
def _write(
    out: NDArray[np.int32], rows: NDArray[np.int32], distances: NDArray[np.float64], excluded: NDArray[np.int64], n: int
) -> None:
    """Rows by (distance, row), given in row order; missing ones repeat the last eligible key."""
    order = _order(distances)
    found = min(out.size, rows.size)
    for i in range(found):
        out[i] = rows[order[i]]
    empty_range = excluded[0] == excluded[1]
    last = n - 1 if empty_range or excluded[1] < n else excluded[0] - 1
    for i in range(found, out.size):
        out[i] = last


@_compiled()
def _rank(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    ranges: NDArray[np.int64],
    lows: NDArray[np.float32],
    rows: NDArray[np.int32],
    counts: NDArray[np.int64],
    norms: NDArray[np.float32],
    widths: NDArray[np.float32],
    pads: NDArray[np.float64],
    out: NDArray[np.int32],
) -> None:
    """Order the finished shortlists by their float64 distances."""
    k = out.shape[1]
    distances = np.empty(lows.shape[1])
    query = np.empty(queries.shape[1])
    for i in range(queries.shape[0]):
        count = counts[i]
        if count < 0:
            continue
        if count > k:
            _, count = _tighten(lows[i], rows[i], count, k, 0, norms, widths[i], pads[i])
        query[:] = queries[i]
        _distances_to_rows(query, keys, rows[i, :count], distances[:count])
        _write(out[i], rows[i, :count], distances[:count], ranges[i], keys.shape[0])


@_compiled()
def _scan_everything(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    ranges: NDArray[np.int64],
    block_size: int,
    out: NDArray[np.int32],
) -> None:
    """Search a few queries with no float32 step: every distance in float64, then select."""
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
    rows = np.empty(n, dtype=np.int32)
    for i in range(m):
        start, stop = ranges[i]
        eligible = np.concatenate((distances[i, :start], distances[i, stop:]))
        k = min(out.shape[1], eligible.size)
        bound = _kth_bound(eligible, k, k // 4)
        count = 0
        for e in range(eligible.size):
            distance = eligible[e]
            eligible[count] = distance
            rows[count] = e if e < start else e + stop - start
            count += distance <= bound
        _write(out[i], rows[:count], eligible[:count], ranges[i], n)


# ---- threads ----


@dataclass(frozen=True)
class _Search:
    """One call of `search`; `panels` is None when k is so large that a shortlist would hold nearly every key."""

    keys: NDArray[np.float32]
    queries: NDArray[np.float32]
    ranges: NDArray[np.int64]
    rows: NDArray[np.int32]
    panels: _Panels | None


def _run(task: _Search, threads: int) -> None:
    if len(task.queries) == 0:
        return
    if task.panels is None:
        tile, work = FULL_SCAN_TILE, _full_scans
    else:
        per_query = 8 * (_capacity(task) + KEY_TILE)
        tile, work = max(1, min(QUERY_TILE, _BUFFER_BYTES // per_query)), _fast_searches
    # The workers take tiles from one iterator; next() on it is atomic, and which worker takes a tile is immaterial.
    starts = iter(range(0, len(task.queries), tile))
    with _BLAS_LOCK, _blas_controller().limit(limits=1, user_api="blas"):
        if threads == 1:
            work(task, starts, tile)
            return
        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(work, task, starts, tile) for _ in range(threads)]:
                future.result()


@functools.cache
def _blas_controller() -> Any:
    # Here, not at the top: only a search needs it.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _capacity(task: _Search) -> int:
    """Entries a shortlist may hold before the next key tile; beyond, the bound separates too little."""
    k: int = task.rows.shape[1]
    return min(len(task.keys), max(4 * k, k + SPARE))


def _fast_searches(task: _Search, starts: Iterator[int], tile: int) -> None:
    panels = cast(_Panels, task.panels)
    k, capacity = task.rows.shape[1], _capacity(task)
    scratch = np.empty(tile * panels.tiles[0].shape[1], dtype=np.float32)
    # _collect stores before it counts, hence the room for one more than it can count.
    lows = np.empty((tile, capacity + KEY_TILE + 1), dtype=np.float32)
    rows = np.empty(lows.shape, dtype=np.int32)
    for start in starts:
        part = slice(start, start + tile)
        queries, ranges, out = task.queries[part], task.ranges[part], task.rows[part]
        side = _score_side(queries, panels)
        counts = np.where(side.far, -1, 0)
        limits = np.full(len(queries), _UNLIMITED, dtype=np.float32)
        errors = (panels.norms, side.widths, side.pads)
        for i, right in enumerate(panels.tiles):
            scores = scratch[: len(queries) * right.shape[1]].reshape(len(queries), -1)
            np.matmul(side.left, right, out=scores)
            grouped = scores.reshape(len(queries), GROUP, -1)
            _shortlist(
                grouped,
                i * KEY_TILE,
                ranges,
                limits,
                lows,
                rows,
                counts,
                *errors,
                k,
                capacity,
                KEY_TILE,
                panels.largest,
            )
        _rank(queries, task.keys, ranges, lows, rows, counts, *errors, out)
        unproven = np.flatnonzero(counts < 0)
        for some in np.array_split(unproven, -(-len(unproven) // FULL_SCAN_TILE)) if len(unproven) else ():
            found = np.empty((len(some), k), dtype=np.int32)
            _scan_everything(queries[some], task.keys, ranges[some], FULL_SCAN_KEYS, found)
            out[some] = found


def _full_scans(task: _Search, starts: Iterator[int], tile: int) -> None:
    for start in starts:
        part = slice(start, start + tile)
        _scan_everything(task.queries[part], task.keys, task.ranges[part], FULL_SCAN_KEYS, task.rows[part])
