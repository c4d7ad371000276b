"""Episodes in which nothing happens on the screen: a player that waits for ever, perhaps for a ball."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pipeline.dataset.pictures import is_picture

STUCK = "stuck"
"""The count of such episodes in a manifest."""

STILL = 500
"""Decisions during which the observation stays the same in an episode that is stuck."""

_BLOCK = 256
"""Rows that are compared at a time."""


def stuck(steps: Mapping[str, Shaped[np.ndarray, "rows ..."]], ends: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Of each episode, whether no array of its observation changes for `STILL` decisions or more.

    Episodes without pictures are never stuck. `ends` are the rows at which the episodes end in the step arrays.
    """
    seen = [array for name, array in steps.items() if name.split("/")[0] == "observation"]
    found = np.zeros(len(ends), np.bool_)
    if any(is_picture(array.shape[1:], array.dtype) for array in seen):
        starts = np.concatenate([[0], ends[:-1]])
        found[:] = [_stands_still([array[a:b] for array in seen]) for a, b in zip(starts, ends, strict=True)]
    return found


def _stands_still(seen: list[Shaped[np.ndarray, "rows ..."]]) -> bool:
    """Whether one episode does. Most are ruled out by a few rows: of any run of `STILL` decisions these hold two."""
    step = STILL // 2
    few = [array[::step] for array in seen]
    if not np.all([_unchanged(array) for array in few], axis=0).any():
        return False
    changes = np.flatnonzero(np.concatenate([[True], ~np.concatenate([*_blocks(seen)]), [True]]))
    return bool(np.diff(changes).max() > STILL)


def _blocks(seen: list[Shaped[np.ndarray, "rows ..."]]) -> Iterator[Bool[np.ndarray, " _"]]:
    for start in range(0, len(seen[0]) - 1, _BLOCK):
        yield np.all([_unchanged(array[start : start + _BLOCK + 1]) for array in seen], axis=0)


def _unchanged(array: Shaped[np.ndarray, "rows ..."]) -> Bool[np.ndarray, " _"]:
    """Of each row but the first, whether it equals the one before it."""
    rows = array.reshape(len(array), -1)
    if rows.dtype == np.uint8 and not rows.shape[1] % 8 and rows.flags.aligned:
        rows = np.ascontiguousarray(rows).view(np.uint64)  # eight pixels at a time
    same: np.ndarray = (rows[1:] == rows[:-1]).all(axis=1)
    return same
