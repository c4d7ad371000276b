"""Exact statistics of a stream of distances, by which readers normalise them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt32

from pipeline.machine.compiled import compiled
from pipeline.machine.moments import mean_and_deviation

PERCENTILES = (80, 85, 90, 95, 99)

_LARGEST = 0x7F7FFFFF  # the largest finite float32's bits; the bits of non-negative floats ascend with them
_EXPONENTS = 256
_BUCKETS = 1 << 16


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

    >>> found = distance_statistics(lambda: [np.arange(101, dtype=np.float32)[:, None]])
    >>> found.mean, found.max, found.p80, found.p95
    (50.0, 100.0, 80.0, 95.0)

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

    >>> float(normaliser(2.5)), float(normaliser(0.0))
    (2.5, 1.0)

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

    def add(self, block: Float32[np.ndarray, "*shape"]) -> None:
        largest = _tally(_bits(block), self.buckets, self._sums)
        if largest > _LARGEST:
            wrong = block[~(np.isfinite(block) & (block >= 0))]
            raise ValueError(f"distances: wanted finite values of at least 0, found {wrong[0]}")
        self.n += block.size
        self.largest = max(self.largest, largest)

    def moments(self) -> tuple[float, float]:
        """Mean and population standard deviation."""
        sums = enumerate(self._sums.tolist())
        return mean_and_deviation(self.n, ((max(e, 1) - 150, m, low + (high << 24)) for e, (m, low, high) in sums))


def _bits(block: Float32[np.ndarray, "*shape"]) -> UInt32[np.ndarray, "values"]:
    if block.dtype != np.float32:
        raise ValueError(f"distances: wanted float32, found {block.dtype}")
    return np.ascontiguousarray(block).reshape(-1).view(np.uint32)


@compiled()
def _tally(
    bits: UInt32[np.ndarray, "values"], buckets: Int64[np.ndarray, "65536"], sums: Int64[np.ndarray, "256 3"]
) -> int:
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
    blocks: Callable[[], Iterable[Float32[np.ndarray, "b c"]]], tally: _Tally, ranks: list[int]
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


@compiled()
def _tally_fine(
    bits: UInt32[np.ndarray, "values"], slots: Int64[np.ndarray, "65536"], fine: Int64[np.ndarray, "chosen 65536"]
) -> None:
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
