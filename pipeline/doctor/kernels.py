"""Single passes over the bytes of many rows, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64, Num, Shaped, UInt8

from pipeline.machine.compiled import compiled

BLACK, ONE_VALUE, REPEATED = 1, 2, 4
"""Bits of what `looks_of` says of a row."""

ZERO, ZERO_BEFORE, SAME, SAME_BEFORE = 1, 2, 4, 8
"""Bits of what `finals_of` says of an episode."""

STRIDE = 32
"""Words that are compared before the result is looked at."""

LINE = 128
"""Numbers, about, that are added up beside each other."""

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


class Sums(NamedTuple):
    """Of each column over the rows that are used: sum and sum of squares of what is above a shift, least, greatest.

    `others` is the sum of all values of the other rows, which tells whether all of those are finite.
    """

    sums: Float64[np.ndarray, " columns"]
    squares: Float64[np.ndarray, " columns"]
    least: Float64[np.ndarray, " columns"]
    most: Float64[np.ndarray, " columns"]
    others: float


def sums_of(
    rows: Num[np.ndarray, "rows columns"], use: Bool[np.ndarray, " rows"], shift: Float64[np.ndarray, " columns"]
) -> Sums:
    """Of each column, in one pass over all rows."""
    columns = rows.shape[1]
    beside = max(1, LINE // max(1, columns))  # so many rows as one long one, which the machine adds up at once
    sums, squares = np.zeros((2, beside * columns))
    least, most = np.full((2, beside * columns), [[np.inf], [-np.inf]])
    others = _sums(_compilable(rows).reshape(-1), columns, use, np.tile(shift, beside), sums, squares, least, most)
    sums, squares, least, most = (each.reshape(beside, columns) for each in (sums, squares, least, most))
    with np.errstate(invalid="ignore", over="ignore"):
        return Sums(sums.sum(axis=0), squares.sum(axis=0), least.min(axis=0), most.max(axis=0), others)


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
    values: np.ndarray,
    columns: int,
    use: np.ndarray,
    shift: np.ndarray,
    sums: np.ndarray,
    squares: np.ndarray,
    least: np.ndarray,
    most: np.ndarray,
) -> float:
    """Each run of used rows, as many at a time as lie beside each other in `sums`; gives the sum of the other rows."""
    row, rows, beside, others = 0, len(use), len(sums) // columns, 0.0
    while row < rows:
        if not use[row]:
            for at in range(row * columns, (row + 1) * columns):
                others += np.float64(values[at])
            row += 1
            continue
        stop = row + 1
        while stop < rows and stop < row + beside and use[stop]:
            stop += 1
        line = values[row * columns : stop * columns]
        for at in range(len(line)):
            value = np.float64(line[at])
            above = value - shift[at]
            sums[at] += above
            squares[at] += above * above
            least[at] = min(least[at], value)
            most[at] = max(most[at], value)
        row = stop
    return others


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


def finals_of(rows: Num[np.ndarray, "rows columns"], lasts: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, " n"]:
    """Of each episode: whether its last row is zero, and the one before; whether those are equal, and the two before.

    Before the first of all rows stands that row once more.
    """
    found = np.zeros(len(lasts), np.uint8)
    known = rows.view(np.int64) if rows.dtype == np.uint64 else _compilable(rows)
    _finals(known, lasts, found)
    return found


@compiled()
def _finals(rows: np.ndarray, lasts: np.ndarray, found: np.ndarray) -> None:
    for number in range(len(lasts)):
        last = lasts[number]
        before, earlier = max(last - 1, 0), max(last - 2, 0)
        zero = zero_before = same = same_before = True
        for column in range(rows.shape[1]):
            zero &= rows[last, column] == 0
            zero_before &= rows[before, column] == 0
            same &= rows[last, column] == rows[before, column]
            same_before &= rows[before, column] == rows[earlier, column]
            if not (zero or zero_before or same or same_before):
                break
        found[number] = zero * ZERO + zero_before * ZERO_BEFORE + same * SAME + same_before * SAME_BEFORE


def spread_of(rows: Num[np.ndarray, "k samples columns"]) -> Float64[np.ndarray, "2 k columns"]:
    """Mean and standard deviation of each column over the samples."""
    out = np.zeros((2, len(rows), rows.shape[2]))
    _spread(np.ascontiguousarray(rows, np.float64), out[0], out[1])
    return out


@compiled()
def _spread(rows: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
    samples = rows.shape[1]
    for number in range(rows.shape[0]):
        for sample in range(samples):
            for column in range(rows.shape[2]):
                mean[number, column] += rows[number, sample, column]
        for column in range(rows.shape[2]):
            mean[number, column] /= samples
        for sample in range(samples):
            for column in range(rows.shape[2]):
                deviation[number, column] += (rows[number, sample, column] - mean[number, column]) ** 2
        for column in range(rows.shape[2]):
            deviation[number, column] = np.sqrt(deviation[number, column] / samples)
