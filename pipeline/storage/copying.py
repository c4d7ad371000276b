"""Copying runs of rows from memory, such as memory maps, to where the caller wants them: one call for many runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int, Int64, UInt64

from pipeline.storage.contract import Rows

STREAMED = 2**20
"""Bytes; what one call copies more of does not stay in the caches anyway."""


def copy_rows(
    source: Rows, starts: Int[np.ndarray, " n"], counts: Int[np.ndarray, " n"], out: Rows, at: Int[np.ndarray, " n"]
) -> None:
    """Copy rows [start, start + count) of an array to out[at : at + count], for many runs in one call.

    `source` may be a memory map; rows may be of any size. Both arrays lie in C order and have the same kind of rows.
    Raises IndexError for rows that one of them does not have, ValueError where they do not fit together.
    """
    if not source.flags.c_contiguous or source.shape[1:] != out.shape[1:]:
        raise ValueError(f"rows {source.shape[1:]} in C order are wanted for rows {out.shape[1:]}")
    require_rows(starts, counts, len(source))
    size = require_target(out, source.dtype, counts, at)
    copy_runs(addresses(source.ctypes.data, starts, size), counts * size, addresses(out.ctypes.data, at, size))


def copy_runs(
    sources: UInt64[np.ndarray, " n"],
    sizes: Int[np.ndarray, " n"],
    targets: UInt64[np.ndarray, " n"],
    streamed: bool | None = None,
) -> None:
    """Copy runs of bytes between addresses. Nothing is checked; the memory must stay where it is meanwhile.

    Args:
        streamed: whether long runs go past the caches; None: where they are many.
    """
    from pipeline.storage.moves import move_runs  # numba is loaded when something is copied

    past = bool(sizes.sum() >= STREAMED) if streamed is None else streamed
    move_runs(sources, sizes.astype(np.int64, copy=False), targets, past)


def addresses(base: int | UInt64[np.ndarray, " n"], rows: Int[np.ndarray, " n"], size: int) -> UInt64[np.ndarray, " n"]:
    """Where rows of so many bytes lie, counted from an address, or of each from its own."""
    return np.asarray(base, np.uint64) + rows.astype(np.uint64) * np.uint64(size)


def require_rows(
    starts: Int[np.ndarray, " n"], counts: Int[np.ndarray, " n"], rows: int | Int64[np.ndarray, " n"]
) -> None:
    """Raises IndexError where one of the runs goes beyond the rows that there are."""
    wrong = np.flatnonzero((starts < 0) | (counts < 0) | (starts + counts > rows))
    if len(wrong):
        first, there = wrong[0], np.broadcast_to(rows, starts.shape)[wrong[0]]
        raise IndexError(f"rows {starts[first]} to {starts[first] + counts[first]} of {there}")


def require_target(out: Rows, dtype: np.dtype[Any], counts: Int[np.ndarray, " n"], at: Int[np.ndarray, " n"]) -> int:
    """Bytes of a row of `out`. Raises ValueError where rows cannot be copied to it, IndexError for runs beyond it."""
    if not (out.flags.c_contiguous and out.flags.writeable) or out.dtype != dtype:
        raise ValueError(f"rows of {dtype} go into an array of that dtype in C order, not {out.dtype} {out.shape}")
    require_rows(at, counts, len(out))
    return int(np.prod(out.shape[1:], dtype=np.int64)) * out.itemsize
