"""Exact statistics of columns, in memory that does not grow with them: quantiles by counting, 16 bits at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Num, Shaped, UInt

Statistics = dict[str, Any]
"""min, max, mean, std, count, q01, q10, q50, q90, q99, as JSON."""

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
DIGIT = 16
"""Bits that a pass decides."""


def number_statistics(blocks: Callable[[], Iterable[Num[np.ndarray, "n d"]]], rows: int) -> Statistics | None:
    """Of a column of numbers, each of d on its own; None where one is NaN or infinite, or the sum of their squares.

    `blocks` gives all rows in order and is called several times; one block is all of them where they fit in memory.
    std is the population's. A quantile between two numbers is interpolated, as `numpy.quantile` does.
    """
    first = next(iter(blocks()))
    low, high = (np.full(first.shape[1], bound) for bound in (np.inf, -np.inf))
    total = np.zeros(first.shape[1])
    for block in blocks():
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            return None
        low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
        with np.errstate(over="ignore"):
            total += block.sum(0, dtype=np.float64)
    mean = total / rows
    squares = np.zeros_like(mean)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in blocks():
            squares += ((block - mean) ** 2).sum(0)
    if not np.isfinite(squares).all():
        return None
    found = _quantiles(blocks, rows)
    return {
        "min": low.tolist(),
        "max": high.tolist(),
        "mean": mean.tolist(),
        "std": np.sqrt(squares / rows).tolist(),
        "count": [rows],
        **{name: found[:, each].tolist() for each, name in enumerate(QUANTILES)},
    }


def picture_statistics(counts: Int64[np.ndarray, "c 256"], rows: int) -> Statistics:
    """Of a column of pictures by how many pixels have each level: levels of [0, 1], shape (c, 1, 1)."""
    levels = np.arange(counts.shape[1]) / 255
    pixels = counts.sum(1)
    mean = counts @ levels / pixels
    std = np.sqrt((counts * (levels - mean[:, np.newaxis]) ** 2).sum(1) / pixels)
    there = counts > 0
    found = {"min": levels[there.argmax(1)], "max": levels[::-1][there[:, ::-1].argmax(1)], "mean": mean, "std": std}
    ends = counts.cumsum(1)
    for name, share in QUANTILES.items():
        below, above, part = _ranks(share, int(pixels[0]))
        lower, upper = (levels[(ends > rank).argmax(1)] for rank in (below, above))
        found[name] = lower + (upper - lower) * part
    return {name: value.reshape(-1, 1, 1).tolist() for name, value in found.items()} | {"count": [rows]}


def _quantiles(blocks: Callable[[], Iterable[Num[np.ndarray, "n d"]]], rows: int) -> Float64[np.ndarray, "d q"]:
    """All quantiles of each of d columns."""
    ranks = [_ranks(share, rows) for share in QUANTILES.values()]
    wanted = sorted({rank for below, above, _ in ranks for rank in (below, above)})
    first = next(iter(blocks()))
    if len(first) == rows:
        found = np.partition(np.ascontiguousarray(first.T), wanted, 1)[:, wanted].astype(np.float64)
    else:
        found = _at_ranks(blocks, wanted)
    at = {rank: found[:, each] for each, rank in enumerate(wanted)}
    return np.stack([at[below] + (at[above] - at[below]) * part for below, above, part in ranks], 1)


def _ranks(share: float, count: int) -> tuple[int, int, float]:
    """The two sorted numbers between which a quantile lies, and how far from the first one."""
    place = share * (count - 1)
    return int(place), min(int(place) + 1, count - 1), place - int(place)


def _at_ranks(
    blocks: Callable[[], Iterable[Num[np.ndarray, "n d"]]], ranks: Sequence[int]
) -> Float64[np.ndarray, "d r"]:
    """The numbers at these places of each sorted column: found digit by digit, the highest first.

    A pass counts the digits of those numbers whose digits so far are those of a wanted one.
    """
    first = next(iter(blocks()))
    width, dims = min(DIGIT, 8 * first.itemsize), first.shape[1]
    passes = 8 * first.itemsize // width
    prefixes = np.zeros((dims, len(ranks)), np.uint64)
    left = np.tile(np.asarray(ranks, np.int64), (dims, 1))
    for number in range(passes):
        shift = 8 * first.itemsize - width * (number + 1)
        known = [np.unique(prefixes[each]) for each in range(dims)]
        counts = [np.zeros((len(known[each]), 2**width), np.int64) for each in range(dims)]
        for block in blocks():
            keys = _sortable(block).astype(np.uint64)
            for each in range(dims):
                digits = keys[:, each] >> np.uint64(shift)
                for row, prefix in enumerate(known[each]):
                    inside = digits if number == 0 else digits[digits >> np.uint64(width) == prefix]
                    counts[each][row] += np.bincount(
                        (inside & np.uint64(2**width - 1)).astype(np.int64), minlength=2**width
                    )
        for each in range(dims):
            ends = counts[each].cumsum(1)
            for rank in range(len(ranks)):
                row = int(np.searchsorted(known[each], prefixes[each, rank]))
                digit = int(np.searchsorted(ends[row], left[each, rank], "right"))
                left[each, rank] -= ends[row, digit - 1] if digit else 0
                prefixes[each, rank] = (prefixes[each, rank] << np.uint64(width)) | np.uint64(digit)
    return _from_sortable(prefixes, first.dtype)


def _sortable(block: Num[np.ndarray, "n d"]) -> UInt[np.ndarray, "n d"]:
    """Whole numbers without a sign in the same order."""
    bits = np.ascontiguousarray(block).view(f"u{block.itemsize}")
    sign = bits.dtype.type(1 << (8 * block.itemsize - 1))
    if block.dtype.kind == "f":
        return np.where(bits & sign, ~bits, bits | sign)
    return bits ^ sign if block.dtype.kind == "i" else bits


def _from_sortable(keys: Shaped[np.ndarray, "d r"], dtype: np.dtype[Any]) -> Float64[np.ndarray, "d r"]:
    bits = keys.astype(f"u{dtype.itemsize}")
    sign = bits.dtype.type(1 << (8 * dtype.itemsize - 1))
    if dtype.kind == "f":
        bits = np.where(bits & sign, bits ^ sign, ~bits)
    elif dtype.kind == "i":
        bits = bits ^ sign
    return bits.view(dtype).astype(np.float64)
