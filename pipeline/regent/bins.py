"""REGENT's bin files: raw little-endian arrays in the JAT row layout, `shapes.json`, the row lookup."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64, Shaped

from pipeline.digest import ArrayDigest
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.machine.files import read_json, write_json
from pipeline.regent.context import RETRIEVED
from pipeline.regent.rows import ReadStates, RowLayout, read_states

SHAPES = "shapes.json"
STATISTICS = "dist_stats.json"
LOOKUPS = "all_row_idxs_lookup*.json"

BLOCK_BYTES = 16 * 2**20


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


def folder_suffix(demos: int, network: str, missions: bool) -> str:
    """The end of upstream's folder names: by the network, if any, and the demonstrations; nothing for BabyAI.

    >>> folder_suffix(5, "resnet18_512", False), folder_suffix(100, "", False), folder_suffix(20, "", True)
    ('-emb_resnet18_512-5demos', '-100demos', '')
    """
    if network:
        return f"-emb_{network}-{demos}demos"
    return "" if missions else f"-{demos}demos"


def write_lookup(folder: Path, suffix: str, rows: Int[np.ndarray, "rows"]) -> str:
    """Write where each of the dataset's rows stands in the bins; returns the file's name."""
    path = folder / LOOKUPS.replace("*", suffix)
    write_json(path, {str(row): place for place, row in enumerate(rows.tolist())}, indent=None)
    return path.name


def read_lookup(folder: Path) -> Int64[np.ndarray, "rows"]:
    """The dataset's row at each row of the bins. Raises InvalidInput where there is not exactly one lookup."""
    lookups = sorted(folder.glob(LOOKUPS))
    if len(lookups) != 1:
        raise InvalidInput(f"{folder} needs one {LOOKUPS}; it has {len(lookups)}.")
    stated = read_json(lookups[0])
    if not isinstance(stated, dict) or not all(
        row.isdecimal() and len(row) < 16 and type(stated[row]) is int for row in stated
    ):
        raise DamagedArtifact(f"{lookups[0]} does not give each row a number. Make the bins again.")
    place_of = {int(row): place for row, place in stated.items()}
    if sorted(place_of.values()) != list(range(len(place_of))):
        raise DamagedArtifact(f"{lookups[0]} does not name each row of the bins once. Make the bins again.")
    return np.array(sorted(place_of, key=lambda row: place_of[row]), np.int64)


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


def as_compared(values: Shaped[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """The numbers that stand in the bins, as float32: what retrieval compares and distances are measured of.

    Real numbers are rounded once. Whole numbers and truth values keep their value, up to 2^24 on both sides of zero.
    """
    with np.errstate(over="ignore"):  # what becomes infinite is refused by name
        return values.astype(np.float32, copy=False)


def row_blocks(
    array: RowArray, layout: RowLayout, rows: Int[np.ndarray, "rows"]
) -> Iterator[Shaped[np.ndarray, "r width *shape"]]:
    """Some ascending rows of an array, in blocks of whole rows, in the bin's dtype.

    Padding repeats the row's own first step, after shifting.

    The rewards of an episode of five states, in rows of three:

    >>> rewards = np.float32([1, 2, 3, 4, 5])
    >>> array = RowArray("rewards", (), np.dtype("<f4"), lambda start, stop: rewards[start:stop], shift=True)
    >>> [block.tolist() for block in row_blocks(array, RowLayout(np.array([5]), 3), np.arange(2))]
    [[[0.0, 1.0, 2.0], [3.0, 4.0, 3.0]]]
    """
    step = rows_per_block(array, layout.width)
    for start in range(0, len(rows), step):
        yield _block(array, layout, rows[start : start + step])


def rows_per_block(array: RowArray, width: int) -> int:
    """Whole rows in about 16 MB."""
    size = width * int(np.prod(array.shape, dtype=np.int64)) * array.dtype.itemsize
    return max(1, BLOCK_BYTES // max(1, size))


def _block(array: RowArray, layout: RowLayout, rows: Int[np.ndarray, "r"]) -> Shaped[np.ndarray, "r width *shape"]:
    index = layout.gather(rows)
    if array.shift:
        index = np.maximum(index - 1, 0)
    states = _covered(index)
    values = read_states(array.read, states).astype(array.dtype, copy=False)
    block = values[index - states[0] if len(states) == states[-1] - states[0] + 1 else np.searchsorted(states, index)]
    if array.shift:
        # Column 0 of an episode's first row received nothing yet; padding repeats column 0, so it is zero there, too.
        padding = np.arange(layout.width) >= layout.row_lengths[rows, None]
        without = layout.starts_episode[rows, None] & ((np.arange(layout.width) == 0) | padding)
        block[without] = 0
    return block


def _covered(index: Int[np.ndarray, "r width"]) -> Int64[np.ndarray, "states"]:
    """The states to read: all between the first and the last where most are wanted, else those wanted."""
    first, last = int(index.min()), int(index.max())
    if last - first < 2 * index.size:
        return np.arange(first, last + 1)
    return np.unique(index)


def context_indices(
    neighbours: Int[np.ndarray, "n k"], queries: Int[np.ndarray, "n"], layout: RowLayout
) -> Int32[np.ndarray, "n 20 2"]:
    """Rows and columns of a context: the first 19 of k >= 19 flat states that each query retrieved, then the query.

    >>> indices = context_indices(np.arange(19)[None], np.array([19]), RowLayout(np.array([12, 8]), 8))
    >>> indices.shape, indices[0, [0, 8, 18, 19]].tolist()
    ((1, 20, 2), [[0, 0], [1, 0], [2, 6], [2, 7]])
    """
    return layout.locate(np.concatenate([neighbours[:, :RETRIEVED], queries[:, None]], axis=1))


def write_bin(
    path: Path, key: str, blocks: Iterable[Shaped[np.ndarray, "r *shape"]], shape: tuple[int, ...], dtype: Any
) -> bytes:
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
