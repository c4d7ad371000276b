"""Single passes over the bytes of many rows, compiled."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int64, Num, Shaped, UInt8

from pipeline.machine.compiled import compiled

BLACK, ONE_VALUE, REPEATED = 1, 2, 4
"""Bits of what `screens` says of a row."""

STRIDE = 32
"""Words that are compared before the result is looked at."""

_EVERY_BYTE = np.uint64(0x0101010101010101)


def looks_of(
    rows: Shaped[np.ndarray, "rows ..."], use: Bool[np.ndarray, " rows"], begins: Bool[np.ndarray, " rows"]
) -> UInt8[np.ndarray, " rows"]:
    """Of each row that is used: whether all its bytes are zero, or one value, and whether it equals the one before it.

    The first row of an episode, which `begins` marks, equals none. Each row is read as far as is needed to know.
    """
    flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
    if flat.dtype != np.uint8:
        flat = flat.view(np.uint8)
    looks = np.zeros(len(flat), np.uint8)
    if flat.shape[1] % 8 == 0 and flat.ctypes.data % 8 == 0:
        _looks_of_words(flat.view(np.uint64), use, begins, looks)
    else:
        _looks_of_bytes(flat, use, begins, looks)
    return looks


@compiled()
def _looks_of_words(words: np.ndarray, use: np.ndarray, begins: np.ndarray, looks: np.ndarray) -> None:
    for row in range(words.shape[0]):
        if use[row]:
            first = words[row, 0]
            found = 0
            if first == (first & np.uint64(255)) * _EVERY_BYTE and _is_one_value(words[row]):
                found = BLACK if first == 0 else ONE_VALUE
            if row > 0 and not begins[row] and _are_equal(words[row], words[row - 1]):
                found |= REPEATED
            looks[row] = found


@compiled()
def _looks_of_bytes(values: np.ndarray, use: np.ndarray, begins: np.ndarray, looks: np.ndarray) -> None:
    for row in range(values.shape[0]):
        if use[row]:
            found = 0
            if _is_one_value(values[row]):
                found = BLACK if values[row, 0] == 0 else ONE_VALUE
            if row > 0 and not begins[row] and _are_equal(values[row], values[row - 1]):
                found |= REPEATED
            looks[row] = found


@compiled()
def _is_one_value(row: np.ndarray) -> bool:
    first, differing = row[0], row[0] ^ row[0]
    for start in range(0, row.shape[0], STRIDE):  # a few words at a time, which the machine compares at once
        for at in range(start, min(start + STRIDE, row.shape[0])):
            differing |= row[at] ^ first
        if differing != 0:
            return False
    return True


@compiled()
def _are_equal(row: np.ndarray, other: np.ndarray) -> bool:
    differing = row[0] ^ row[0]
    for start in range(0, row.shape[0], STRIDE):
        for at in range(start, min(start + STRIDE, row.shape[0])):
            differing |= row[at] ^ other[at]
        if differing != 0:
            return False
    return True


def sums_of(
    rows: Num[np.ndarray, "rows columns"], use: Bool[np.ndarray, " rows"], shift: Float64[np.ndarray, " columns"]
) -> tuple[Float64[np.ndarray, " columns"], ...]:
    """Of each column over the rows that are used: sum and sum of squares of what is above `shift`, least, greatest."""
    columns = rows.shape[1]
    out = (np.zeros(columns), np.zeros(columns), np.full(columns, np.inf), np.full(columns, -np.inf))
    _sums(_compilable(rows), use, shift, *out)
    return out


def _compilable(rows: Num[np.ndarray, "rows columns"]) -> Num[np.ndarray, "rows columns"]:
    """The same numbers in one of few types, as each takes half a second to compile for, once; float16 cannot be."""
    wanted = rows.dtype
    if wanted.kind == "b":
        return np.ascontiguousarray(rows).view(np.uint8)
    if (wanted.kind == "f" and wanted.itemsize < 4) or wanted == np.uint64:
        wanted = np.dtype(np.float64)
    elif wanted.kind in "iu" and wanted != np.uint8:
        wanted = np.dtype(np.int64)
    return np.ascontiguousarray(rows, wanted)


@compiled()
def _sums(
    rows: np.ndarray,
    use: np.ndarray,
    shift: np.ndarray,
    sums: np.ndarray,
    squares: np.ndarray,
    least: np.ndarray,
    most: np.ndarray,
) -> None:
    for row in range(rows.shape[0]):
        if use[row]:
            for column in range(rows.shape[1]):
                value = np.float64(rows[row, column])
                above = value - shift[column]
                sums[column] += above
                squares[column] += above * above
                least[column] = min(least[column], value)
                most[column] = max(most[column], value)


def on_bounds(
    rows: Num[np.ndarray, "rows columns"],
    use: Bool[np.ndarray, " rows"],
    low: Num[np.ndarray, " columns"],
    high: Num[np.ndarray, " columns"],
) -> tuple[Int64[np.ndarray, " columns"], Int64[np.ndarray, " columns"]]:
    """Of each column, how many of the used rows lie on a bound, and how many outside."""
    on, outside = np.zeros(rows.shape[1], np.int64), np.zeros(rows.shape[1], np.int64)
    known = _compilable(rows)
    bounds = known.dtype if known.dtype.kind == "f" else np.dtype(np.float64)
    _on_bounds(known, use, low.astype(bounds), high.astype(bounds), on, outside)
    return on, outside


@compiled()
def _on_bounds(
    rows: np.ndarray, use: np.ndarray, low: np.ndarray, high: np.ndarray, on: np.ndarray, outside: np.ndarray
) -> None:
    for row in range(rows.shape[0]):
        if use[row]:
            for column in range(rows.shape[1]):
                value = rows[row, column]
                on[column] += value == low[column] or value == high[column]
                outside[column] += value < low[column] or value > high[column]
