"""REGENT's bin files: raw little-endian arrays in the JAT row layout, `shapes.json`, the row lookup."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.context import RETRIEVED
from pipeline.digest import ArrayDigest
from pipeline.errors import InvalidInput
from pipeline.rows import RowLayout

BLOCK_BYTES = 16 * 2**20

ReadStates = Callable[[int, int], np.ndarray]
"""(start, stop) -> the rows of one step array at those flat states."""


@dataclass(frozen=True)
class RowArray:
    """One bin file with a row per JAT row.

    Attributes:
        key: file name without `.bin`, and key in `shapes.json`.
        shape: of one step.
        read: gives the steps' values.
        shift: move values one step later inside each episode, 0 first: JAT rewards precede the action.
    """

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: ReadStates
    shift: bool = False


def observation_key(dtype: np.dtype[Any]) -> str:
    """REGENT's name of an observation array of this dtype."""
    return "continuous_observations" if dtype.kind == "f" else "discrete_observations"


def action_key(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """REGENT's name of an action array. Raises InvalidInput for vectors of integers, which it does not know."""
    if dtype.kind == "f":
        return "continuous_actions"
    if shape != ():
        raise InvalidInput(f"REGENT bins hold one integer action a step; these actions have shape {list(shape)}.")
    return "discrete_actions"


def bin_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 for numbers with a fraction, int32 for the others."""
    return np.dtype("<f4" if dtype.kind == "f" else "<i4")


def row_blocks(array: RowArray, layout: RowLayout, rows: int) -> Iterator[np.ndarray]:
    """The first `rows` rows of an array, in blocks of whole rows: (r, width, *shape) in the bin's dtype.

    Padding repeats the row's own first step, after shifting.
    """
    step = rows_per_block(array, layout.width)
    for start in range(0, rows, step):
        yield _block(array, layout, start, min(start + step, rows))


def rows_per_block(array: RowArray, width: int) -> int:
    """Whole rows in about 16 MB."""
    size = width * int(np.prod(array.shape, dtype=np.int64)) * array.dtype.itemsize
    return max(1, BLOCK_BYTES // max(1, size))


def _block(array: RowArray, layout: RowLayout, start: int, stop: int) -> np.ndarray:
    first = int(layout.first_states[start])
    last = int(layout.first_states[stop - 1] + layout.row_lengths[stop - 1])
    begin = max(0, first - 1) if array.shift else first
    values = array.read(begin, last).astype(array.dtype, copy=False)
    index = layout.gather(start, stop) - begin
    if not array.shift:
        return values[index]
    block = values[np.maximum(index - 1, 0)]
    # Column 0 of an episode's first row received nothing yet; padding repeats column 0, so it is zero there as well.
    padding = np.arange(layout.width) >= layout.row_lengths[start:stop, None]
    nothing = layout.starts_episode[start:stop, None] & ((np.arange(layout.width) == 0) | padding)
    block[nothing] = 0
    return block


def context_indices(neighbours: np.ndarray, start: int, layout: RowLayout) -> np.ndarray:
    """(n, >=19) flat states of some queries from flat state `start` on -> (n, 20, 2) int32 rows and columns."""
    own = np.arange(start, start + len(neighbours))[:, None]
    return layout.locate(np.concatenate([neighbours[:, :RETRIEVED], own], axis=1))


def write_bin(path: Path, key: str, blocks: Iterable[np.ndarray], shape: tuple[int, ...], dtype: Any) -> bytes:
    """Write `key`.bin in `path` from blocks that arrive in order; returns the content digest.

    Raises ValueError when the blocks do not add up to `shape`.
    """
    dtype = np.dtype(dtype)
    digest = ArrayDigest(key, dtype, shape)
    rows = 0
    with (path / f"{key}.bin").open("wb") as file:
        for block in blocks:
            contiguous = np.ascontiguousarray(block, dtype)
            file.write(contiguous.data)
            digest.update(contiguous)
            rows += len(contiguous)
        file.flush()
        os.fsync(file.fileno())
    if rows != shape[0]:
        raise ValueError(f"{key}.bin got {rows} of {shape[0]} rows")
    return digest.digest()
