"""Mean and standard deviation of many numbers, rounded once: the sums are exact, whatever their order and size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Int64, Num, UInt64

from pipeline.machine.compiled import compiled

_EXPONENTS = 2048
_LOW, _HIGH = 26, 32
"""Bits of the low half of a mantissa; of the low half of a product."""

_SUMS = 8
"""Of the high and the low halves of mantissas, and of the two halves of each of their three products."""


class ExactMoments:
    """Exact sums of columns of real numbers.

    A float64 is m * 2^s with a whole m below 2^53, so the sums of m and m^2 for each s are whole numbers. They are
    added in pieces that leave room for 2^31 rows.
    """

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self._slots = np.full(_EXPONENTS, -1, np.int64)
        self._sums = np.zeros((columns, 0, _SUMS), np.int64)

    def add(self, block: Num[np.ndarray, "rows columns"]) -> None:
        """Add some rows, in which float64 holds every number. Raises ValueError for NaN and infinite numbers."""
        bits = np.ascontiguousarray(block, np.float64).view(np.uint64)
        present = np.flatnonzero(np.bincount((bits >> np.uint64(52)).ravel() & np.uint64(0x7FF), minlength=_EXPONENTS))
        if len(present) and present[-1] == _EXPONENTS - 1:
            raise ValueError("NaN or infinite numbers have no mean")
        fresh = present[self._slots[present] < 0]
        if len(fresh):
            before = self._sums.shape[1]
            self._slots[fresh] = before + np.arange(len(fresh))
            more = np.zeros((len(self._sums), len(fresh), _SUMS), np.int64)
            self._sums = np.concatenate([self._sums, more], 1)
        _add(bits, self._slots, self._sums)
        self.rows += len(block)

    def means_and_deviations(self) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, " columns"]]:
        """Of each column the mean, and the standard deviation of the population. Of at least one row."""
        exponents = [(int(e), int(self._slots[e])) for e in np.flatnonzero(self._slots >= 0)]
        found = [mean_and_deviation(self.rows, _scaled(sums.tolist(), exponents)) for sums in self._sums]
        return np.array([mean for mean, _ in found]), np.array([deviation for _, deviation in found])


def mean_and_deviation(count: int, sums: Iterable[tuple[int, int, int]]) -> tuple[float, float]:
    """Of `count` numbers m * 2^s: from (s, sum of m, sum of m^2) of each s. Both results are rounded once."""
    total = squares = Fraction(0)
    for exponent, mantissas, products in sums:
        unit = Fraction(2) ** exponent
        total += mantissas * unit
        squares += products * unit * unit
    mean = total / count
    return float(mean), _root(squares / count - mean * mean)


def _root(value: Fraction) -> float:
    """The square root, correct to the last bit or the one next to it also where float64 would under- or overflow."""
    shift = 128 - (value.numerator.bit_length() - value.denominator.bit_length()) // 2
    return float(Fraction(math.isqrt(math.floor(value * Fraction(4) ** shift)), 1) / Fraction(2) ** shift)


def _scaled(sums: list[list[int]], exponents: list[tuple[int, int]]) -> Iterable[tuple[int, int, int]]:
    for exponent, slot in exponents:
        high, low, *products = sums[slot]
        whole = [below + (above << _HIGH) for below, above in zip(products[::2], products[1::2], strict=True)]
        square = (whole[0] << 2 * _LOW) + (whole[1] << _LOW + 1) + whole[2]
        yield max(exponent, 1) - 1075, (high << _LOW) + low, square


@compiled()
def _add(
    bits: UInt64[np.ndarray, "rows columns"],
    slots: Int64[np.ndarray, "2048"],
    sums: Int64[np.ndarray, "columns slots 8"],
) -> None:
    half = (1 << _LOW) - 1
    low_bits = (1 << _HIGH) - 1
    for row in range(bits.shape[0]):
        for column in range(bits.shape[1]):
            value = bits[row, column]
            exponent = np.int64((value >> np.uint64(52)) & np.uint64(0x7FF))
            mantissa = np.int64(value & np.uint64((1 << 52) - 1))
            if exponent > 0:
                mantissa |= 1 << 52
            high, low = mantissa >> _LOW, mantissa & half
            out = sums[column, slots[exponent]]
            if value >> np.uint64(63):
                out[0] -= high
                out[1] -= low
            else:
                out[0] += high
                out[1] += low
            square, mixed, rest = high * high, high * low, low * low
            out[2] += square & low_bits
            out[3] += square >> _HIGH
            out[4] += mixed & low_bits
            out[5] += mixed >> _HIGH
            out[6] += rest & low_bits
            out[7] += rest >> _HIGH
