"""How often numbers occur, counted in two passes over blocks, so that they never have to be in memory together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Shaped

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
    """Count numbers in at most `bins` bins; `without_zeros` leaves zeros out of them.

    >>> tally(lambda: [np.array([1, 3, 3])], bins=3).counts
    (1, 0, 2)
    """
    return tally_columns(lambda: (block.reshape(-1, 1) for block in blocks()), bins, without_zeros)[0]


def tally_columns(blocks: Blocks, bins: int, without_zeros: bool = False) -> tuple[Tally, ...]:
    """The tally of each column of blocks of (n, d) numbers, at least one block."""
    columns: list[_Column] = []
    for block in blocks():
        columns = columns or [_Column(without_zeros) for _ in range(block.shape[1])]
        for column, values in zip(columns, block.T, strict=True):
            column.look(values)
    for column in columns:
        column.prepare(bins)
    for block in blocks():
        for column, values in zip(columns, block.T, strict=True):
            column.count(values)
    return tuple(column.tally() for column in columns)


class _Column:
    """One column of numbers: what the first pass finds and the second one counts."""

    def __init__(self, without_zeros: bool) -> None:
        self._without_zeros = without_zeros
        self._least, self._largest, self._whole = math.inf, -math.inf, True
        self._entries = self._zeros = self._not_finite = 0
        self._low = self._high = 0.0
        self._counts: Int64[np.ndarray, " bins"] = np.zeros(0, np.int64)

    def look(self, values: Shaped[np.ndarray, " n"]) -> None:
        counted = self._counted(values)
        self._entries += values.size
        self._zeros += int((values == 0).sum())
        self._not_finite += values.size - int(np.isfinite(values).sum())
        if counted.size:
            self._least = min(self._least, float(counted.min()))
            self._largest = max(self._largest, float(counted.max()))
            self._whole = self._whole and bool((counted == np.floor(counted)).all())

    def prepare(self, bins: int) -> None:
        if self._least > self._largest:
            self._least = self._largest = 0.0
            return
        number, low, high = bins, self._least, self._largest
        if self._whole:
            number, low, high = whole_bins(low, high, bins)
        if low == high:
            low, high = low - abs(low) / 2, high + abs(high) / 2
        self._low, self._high, self._counts = low, high, np.zeros(number, np.int64)

    def count(self, values: Shaped[np.ndarray, " n"]) -> None:
        if self._counts.size:
            self._counts += np.histogram(self._counted(values), self._counts.size, (self._low, self._high))[0]

    def tally(self) -> Tally:
        return Tally(
            tuple(self._counts.tolist()),
            self._low,
            self._high,
            self._least,
            self._largest,
            self._whole,
            self._entries,
            self._zeros,
            self._not_finite,
        )

    def _counted(self, values: Shaped[np.ndarray, " n"]) -> Float64[np.ndarray, " m"]:
        numbers = values.astype(np.float64)
        numbers = numbers[np.isfinite(numbers)]
        return numbers[numbers != 0] if self._without_zeros else numbers


def whole_bins(least: float, largest: float, bins: int) -> tuple[int, float, float]:
    """How many bins, and where they begin and end, so that each is centred on a whole number or holds several."""
    span = int(largest) - int(least) + 1
    width = max(1, math.ceil(span / bins))
    number = math.ceil(span / width)
    return number, least - 0.5, least - 0.5 + number * width
