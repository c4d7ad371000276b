"""How often numbers occur, counted in two passes over blocks, so that they never have to be in memory together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

Blocks = Callable[[], Iterable[np.ndarray]]
"""Gives the same arrays of numbers at each call."""


@dataclass(frozen=True)
class Tally:
    """A histogram in equal bins.

    Attributes:
        counts: of each bin; empty where no number is counted.
        low, high: where the first bin begins and the last one ends.
        least, largest: of the numbers that are counted.
        whole: all of them are whole numbers, and each bin is centred on one, or holds several.
        entries: all numbers, those that are left out included.
        zeros: how many are 0.
        not_finite: how many are NaN or infinite; left out.
    """

    counts: tuple[int, ...]
    low: float
    high: float
    least: float
    largest: float
    whole: bool
    entries: int
    zeros: int
    not_finite: int


def tally(blocks: Blocks, bins: int, without_zeros: bool = False) -> Tally:
    """Count numbers in at most `bins` bins; `without_zeros` leaves zeros out of them."""
    least, largest, whole = math.inf, -math.inf, True
    entries = zeros = not_finite = 0
    for block in blocks():
        entries += block.size
        zeros += int((block == 0).sum())
        counted = _counted(block, without_zeros)
        not_finite += block.size - int(np.isfinite(block).sum())
        if counted.size:
            least, largest = min(least, float(counted.min())), max(largest, float(counted.max()))
            whole = whole and bool((counted == np.floor(counted)).all())
    if least > largest:
        return Tally((), 0.0, 0.0, 0.0, 0.0, True, entries, zeros, not_finite)
    number, low, high = whole_bins(least, largest, bins) if whole else (bins, least, largest)
    if low == high:
        low, high = low - abs(low) / 2, high + abs(high) / 2
    counts = np.zeros(number, np.int64)
    for block in blocks():
        counts += np.histogram(_counted(block, without_zeros), number, (low, high))[0]
    return Tally(tuple(counts.tolist()), low, high, least, largest, whole, entries, zeros, not_finite)


def whole_bins(least: float, largest: float, bins: int) -> tuple[int, float, float]:
    """How many bins, and where they begin and end, so that each is centred on a whole number or holds several."""
    span = int(largest) - int(least) + 1
    width = max(1, math.ceil(span / bins))
    number = math.ceil(span / width)
    return number, least - 0.5, least - 0.5 + number * width


def _counted(block: np.ndarray, without_zeros: bool) -> np.ndarray:
    values = block.ravel().astype(np.float64)
    values = values[np.isfinite(values)]
    return values[values != 0] if without_zeros else values
