"""The range of the numbers of an array, exactly and in one pass over blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

DIGITS = 9
"""Significant digits of a mean. More would differ between processors, which add in another order."""


@dataclass(frozen=True)
class Range:
    """What the rows of an array hold.

    Attributes:
        shape: of one row.
        min, mean, max: of all finite numbers; None where there is none. No mean where their sum exceeds float64.
        columns: numbers of one row.
        constant: columns that hold one and the same finite number in every row.
        not_finite: how many numbers are NaN or infinite.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    min: float | None
    mean: float | None
    max: float | None
    columns: int
    constant: int
    not_finite: int


def range_of(
    name: str, shape: tuple[int, ...], dtype: np.dtype, blocks: Iterable[Shaped[np.ndarray, "n ..."]]
) -> Range:
    """The range of an array whose rows are of this shape and dtype, given in blocks of rows.

    >>> range_of("observation", (2,), np.dtype(np.int64), [np.array([[1, 7], [3, 7]])]).constant
    1
    """
    columns = math.prod(shape)
    least, largest = np.full(columns, np.inf), np.full(columns, -np.inf)
    whole = np.ones(columns, np.bool_)
    sums: list[float] = []
    total = finite = 0
    for block in blocks:
        rows = _addable(block.reshape(len(block), columns))
        good: np.ndarray | bool = np.isfinite(rows) if rows.dtype.kind == "f" else True
        whole &= np.all(good, axis=0)
        total += rows.size
        finite += rows.size if good is True else int(np.sum(good))
        largest = np.maximum(largest, rows.max(0, where=good, initial=_lowest(rows.dtype)))
        least = np.minimum(least, rows.min(0, where=good, initial=_highest(rows.dtype)))
        with np.errstate(over="ignore"):
            sums.append(_sum(rows.sum(0, _sum_dtype(rows.dtype), where=good).tolist()))
    if not finite:
        return Range(name, dtype.name, shape, None, None, None, columns, 0, total)
    mean = float(f"{_sum(sums) / finite:.{DIGITS}g}")
    constant = int((whole & (least == largest)).sum())
    low, high = float(least.min()), float(largest.max())
    return Range(
        name, dtype.name, shape, low, mean if math.isfinite(mean) else None, high, columns, constant, total - finite
    )


def _sum(values: list[float]) -> float:
    """Rounded once; NaN where float64 cannot hold it."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # too large, or infinities of both signs
        return math.nan


def _addable(rows: Shaped[np.ndarray, "n d"]) -> Shaped[np.ndarray, "n d"]:
    """Truth values as 0 and 1."""
    return rows.view(np.uint8) if rows.dtype == np.bool_ else rows


def _sum_dtype(dtype: np.dtype) -> type:
    """What holds the sum of a block: whole numbers of up to 32 bits exactly; those of 64 could overflow there."""
    return np.float64 if dtype.kind == "f" or dtype.itemsize == 8 else np.int64


def _lowest(dtype: np.dtype) -> float | int:
    return -np.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _highest(dtype: np.dtype) -> float | int:
    return np.inf if dtype.kind == "f" else int(np.iinfo(dtype).max)
