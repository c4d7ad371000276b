"""Distances between the states of a context, and the exact statistics by which readers normalise them."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, TypeVar, cast

import numba
import numpy as np
from jaxtyping import Float32, Int, Shaped
from numpy.typing import NDArray

RETRIEVED = 19  # retrieved states in a context
CONTEXT = RETRIEVED + 1  # the query's own state comes last
PERCENTILES = (80, 85, 90, 95, 99)

_ROWS_PER_TASK = 4096  # states one thread takes at a time
_WIDENED_BYTES = 64 << 20  # pools up to this size are widened to float64 once instead of at each of their many reads
_LARGEST = 0x7F7FFFFF  # the largest finite float32's bits; the bits of non-negative floats ascend with them
_EXPONENTS = 256
_BUCKETS = 1 << 16

_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    """numba.njit without the GIL and cached on disk, keeping the function's static type."""
    # A test run that checks shapes wraps every function of the package; numba needs the one below.
    return cast(_F, numba.njit(cache=True, nogil=True)(inspect.unwrap(function)))


# ---- one context ----


def context_distances(
    pool: Shaped[np.ndarray, "p d"],
    queries: Shaped[np.ndarray, "q d"],
    neighbours: Int[np.ndarray, "q k"],
    threads: int | None = None,
) -> Float32[np.ndarray, "q 20"]:
    """Euclidean distances of each context's states to its first retrieved state.

    The context of a query is its first 19 retrieved states s0..s18 and then the query itself, so row i is
    ||s0 - s0|| = 0, ||s0 - s1||, ..., ||s0 - s18||, ||s0 - query i||; the entries need not ascend.

    pool: (p, d) vectors that neighbours point into, of any real dtype; integers above 2^53 lose low bits.
    queries: (q, d) vectors, of any real dtype.
    neighbours: (q, k >= 19) integer rows into the pool, nearest first; only the first 19 columns are read.
    threads: worker threads; None means every core this process may use. The result does not depend on it.

    Returns (q, 20) float32. Differences and sums over dimensions, in order, are float64; the root is rounded once.
    Raises ValueError for other shapes and for neighbours outside the pool.

    Source: REGENT (arXiv:2412.04759), where the query attends to its retrieved states in this order.
    """
    if pool.ndim != 2 or queries.ndim != 2 or pool.shape[1] != queries.shape[1]:
        raise ValueError(f"wanted pool (p, d) and queries (q, d), found {pool.shape} and {queries.shape}")
    if neighbours.ndim != 2 or len(neighbours) != len(queries) or neighbours.shape[1] < RETRIEVED:
        raise ValueError(f"neighbours: wanted ({len(queries)}, {RETRIEVED} or more), found {neighbours.shape}")
    used = neighbours[:, :RETRIEVED]
    if pool.size * 8 <= _WIDENED_BYTES:
        pool = pool.astype(np.float64, copy=False)
    out = np.empty((len(queries), CONTEXT), dtype=np.float32)
    starts = range(0, len(queries), _ROWS_PER_TASK)

    def work(start: int) -> None:
        part = slice(start, start + _ROWS_PER_TASK)
        wrong = _context_rows(pool, queries[part], used[part], out[part])
        if wrong >= 0:
            row = start + wrong
            raise ValueError(f"neighbours: wanted rows 0 to {len(pool) - 1}, found {used[row]} for query {row}")

    workers = min(threads or _available_cores(), len(starts))
    if workers <= 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(workers) as threadpool:
            list(threadpool.map(work, starts))
    return out


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@_compiled
def _context_rows(pool: NDArray[Any], queries: NDArray[Any], neighbours: NDArray[Any], out: NDArray[np.float32]) -> int:
    """Fill `out`; return the first query with a neighbour outside the pool, or -1."""
    d = pool.shape[1]
    first = np.empty(d)
    for i in range(queries.shape[0]):
        rows = neighbours[i]
        for c in range(19):
            if rows[c] < 0 or rows[c] >= pool.shape[0]:
                return i
        for j in range(d):
            first[j] = pool[rows[0], j]
        out[i, 0] = 0
        for c in range(1, 19, 6):  # six sums at once hide the latency of adding; each is still in order
            k0, k1, k2 = pool[rows[c]], pool[rows[c + 1]], pool[rows[c + 2]]
            k3, k4, k5 = pool[rows[c + 3]], pool[rows[c + 4]], pool[rows[c + 5]]
            a0 = a1 = a2 = a3 = a4 = a5 = 0.0
            for j in range(d):
                x = first[j]
                a0 += (x - np.float64(k0[j])) ** 2
                a1 += (x - np.float64(k1[j])) ** 2
                a2 += (x - np.float64(k2[j])) ** 2
                a3 += (x - np.float64(k3[j])) ** 2
                a4 += (x - np.float64(k4[j])) ** 2
                a5 += (x - np.float64(k5[j])) ** 2
            out[i, c], out[i, c + 1], out[i, c + 2] = np.sqrt(a0), np.sqrt(a1), np.sqrt(a2)
            out[i, c + 3], out[i, c + 4], out[i, c + 5] = np.sqrt(a3), np.sqrt(a4), np.sqrt(a5)
        own = 0.0
        for j in range(d):
            own += (first[j] - np.float64(queries[i, j])) ** 2
        out[i, 19] = np.sqrt(own)
    return -1


# ---- statistics of a stream ----


@dataclass(frozen=True)
class DistanceStatistics:
    """Statistics over every entry of a task's distances, in the unit of the vectors.

    mean and std (of the population) are rounded once from exact sums; the percentiles are those of numpy's linear
    method in float64, bit for bit.
    """

    n: int
    mean: float
    std: float
    max: float
    p80: float
    p85: float
    p90: float
    p95: float
    p99: float

    def to_json(self) -> dict[str, float]:
        """The float64 values by name, without n."""
        return {name: value for name, value in asdict(self).items() if name != "n"}


def distance_statistics(blocks: Callable[[], Iterable[Float32[np.ndarray, "b c"]]]) -> DistanceStatistics:
    """Exact statistics of non-negative float32 blocks, in two passes and constant memory.

    blocks: called twice; each time it yields the same values, in blocks of any size and order. The result
        depends on neither.

    Raises ValueError for another dtype, no value at all, a value that is negative or not finite, and passes that
    disagree.

    Source: REGENT (arXiv:2412.04759) divides distances by their 95th percentile over a task; the population is every
    entry, the zeros of the first column included.
    """
    tally = _Tally()
    for block in blocks():
        tally.add(block)
    if tally.n == 0:
        raise ValueError("distances: wanted at least one value, found none")
    positions = {q: _virtual_position(tally.n, q) for q in PERCENTILES}
    wanted = sorted({rank for low, high, _ in positions.values() for rank in (low, high)})
    order = _order_statistics(blocks, tally, wanted)
    percentiles = {f"p{q}": _interpolate(order[low], order[high], t) for q, (low, high, t) in positions.items()}
    mean, std = tally.moments()
    largest = float(np.uint32(tally.largest).view(np.float32))
    return DistanceStatistics(n=tally.n, mean=mean, std=std, max=largest, **percentiles)


def normaliser(p95: float) -> np.float32:
    """What readers divide raw distances by: p95 as float32, or 1 where that is 0.

    Raises ValueError if p95 is negative or not finite.
    """
    if not 0 <= p95 < math.inf:
        raise ValueError(f"p95: wanted a finite value of at least 0, found {p95}")
    return np.float32(p95) or np.float32(1)


class _Tally:
    """First pass: a histogram of the upper 16 bits and integer sums from which the exact moments follow.

    A float32 is m * 2^s with an integer m < 2^24, so sums of m and m^2 for each exponent s are exact integers. m^2 is
    added in two halves of 24 bits, which leaves room for 2^39 values.
    """

    def __init__(self) -> None:
        self.n = 0
        self.largest = 0
        self.buckets = np.zeros(_BUCKETS, dtype=np.int64)
        self._sums = np.zeros((_EXPONENTS, 3), dtype=np.int64)

    def add(self, block: NDArray[np.float32]) -> None:
        largest = _tally(_bits(block), self.buckets, self._sums)
        if largest > _LARGEST:
            wrong = block[~(np.isfinite(block) & (block >= 0))]
            raise ValueError(f"distances: wanted finite values of at least 0, found {wrong[0]}")
        self.n += block.size
        self.largest = max(self.largest, largest)

    def moments(self) -> tuple[float, float]:
        """Mean and population standard deviation."""
        total = squares = Fraction(0)
        for exponent, (mantissas, low, high) in enumerate(self._sums.tolist()):
            unit = Fraction(2) ** (max(exponent, 1) - 150)
            total += mantissas * unit
            squares += (low + (high << 24)) * unit * unit
        mean = total / self.n
        return float(mean), _root(squares / self.n - mean * mean)


def _root(value: Fraction) -> float:
    """The square root, correct to the last bit or the one next to it also where float64 would under- or overflow."""
    shift = 128 - (value.numerator.bit_length() - value.denominator.bit_length()) // 2
    return float(Fraction(math.isqrt(math.floor(value * Fraction(4) ** shift)), 1) / Fraction(2) ** shift)


def _bits(block: NDArray[np.float32]) -> NDArray[np.uint32]:
    if block.dtype != np.float32:
        raise ValueError(f"distances: wanted float32, found {block.dtype}")
    return np.ascontiguousarray(block).reshape(-1).view(np.uint32)


@_compiled
def _tally(bits: NDArray[np.uint32], buckets: NDArray[np.int64], sums: NDArray[np.int64]) -> int:
    """Add the values' patterns to the tables and return the largest; stop at one that is not a distance."""
    largest = 0
    for i in range(bits.size):
        b = int(bits[i])
        if b == 0x80000000:  # -0.0 equals 0.0
            b = 0
        largest = max(largest, b)
        if b > 0x7F7FFFFF:
            return largest
        exponent = b >> 23
        mantissa = b & 0x7FFFFF
        if exponent > 0:
            mantissa |= 0x800000
        square = mantissa * mantissa
        buckets[b >> 16] += 1
        sums[exponent, 0] += mantissa
        sums[exponent, 1] += square & 0xFFFFFF
        sums[exponent, 2] += square >> 24
    return largest


def _order_statistics(
    blocks: Callable[[], Iterable[NDArray[np.float32]]], tally: _Tally, ranks: list[int]
) -> dict[int, float]:
    """Second pass: the values at the given ranks, from histograms of the lower 16 bits in the buckets they fall in."""
    ends = np.cumsum(tally.buckets)
    bucket_of = {rank: int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
    chosen = sorted(set(bucket_of.values()))
    slots = np.full(_BUCKETS, -1, dtype=np.int64)
    slots[chosen] = np.arange(len(chosen))
    fine = np.zeros((len(chosen), _BUCKETS), dtype=np.int64)
    n = 0
    for block in blocks():
        _tally_fine(_bits(block), slots, fine)
        n += block.size
    if n != tally.n or not np.array_equal(fine.sum(axis=1), tally.buckets[chosen]):
        raise ValueError(f"distances: wanted the same {tally.n} values in both passes, found {n} or others")
    values = {}
    for rank, bucket in bucket_of.items():
        within = rank - (int(ends[bucket]) - int(tally.buckets[bucket]))
        lower = int(np.searchsorted(np.cumsum(fine[slots[bucket]]), within, side="right"))
        values[rank] = float(np.uint32((bucket << 16) | lower).view(np.float32))
    return values


@_compiled
def _tally_fine(bits: NDArray[np.uint32], slots: NDArray[np.int64], fine: NDArray[np.int64]) -> None:
    for i in range(bits.size):
        b = int(bits[i])
        if b == 0x80000000:
            b = 0
        slot = slots[b >> 16]
        if slot >= 0:
            fine[slot, b & 0xFFFF] += 1


def _virtual_position(n: int, percentile: int) -> tuple[int, int, float]:
    """The two ranks around a percentile and the weight of the upper one, as numpy's linear method has them."""
    position = (n - 1) * (percentile / 100)
    low = math.floor(position)
    return low, min(low + 1, n - 1), position - low


def _interpolate(low: float, high: float, t: float) -> float:
    """Numpy's interpolation, which starts from the nearer end; the choice shows in the last bit."""
    step = high - low
    return high - step * (1 - t) if t >= 0.5 else low + step * t
