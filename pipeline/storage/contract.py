"""Folders of arrays: what a storage offers, and how arrays are cut into blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import DamagedArtifact
from pipeline.machine.files import FileTable

SHARD_BYTES = 64 * 2**20
"""How many raw bytes one file of a sharded array holds, and the unit in which long arrays are written and resumed."""

CHUNK_BYTES = 128 * 2**10
"""How many raw bytes are compressed together: small enough for random windows, large enough to compress."""

Rows = Shaped[np.ndarray, "n ..."]
"""Some rows of the leading axis."""


class MissingArray(DamagedArtifact, KeyError):
    """An array that a folder does not hold."""


@runtime_checkable
class ReadableArray(Protocol):
    """An array on disk; slicing its leading axis reads just those rows. It is sent to other processes by its path."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, rows: slice) -> Rows: ...

    def __len__(self) -> int: ...


def require_slice(rows: slice, path: Path) -> None:
    """Raises IndexError where what stands in the brackets is not a slice of rows that follow one another."""
    if not isinstance(rows, slice) or rows.step not in (None, 1):
        raise IndexError(
            f"{path} is on disk and read in slices of rows that follow one another: array[10:20], or array[:] for all "
            "of it. What comes back is a numpy array, which takes any index: array[:][3], array[:10][:, :5]."
        )


def array_words(array: ReadableArray, path: Path) -> str:
    """What an array on disk shows of itself: `ZarrArray(int32 (195, 20), FOLDER/neighbours)`."""
    return f"{type(array).__name__}({array.dtype} {array.shape}, {path})"


class WritableArray(Protocol):
    """An array of known shape that is written in blocks of its leading axis; a block is durable once written."""

    def write(self, start: int, block: Rows) -> None:
        """Write rows [start, start + len(block)). `start` is a multiple of `block_rows`."""


@runtime_checkable
class Storage(Protocol):
    """One way to lay arrays on disk. All storages hold the same content under the same digest.

    Arrays are of booleans, integers or floats and have at least one axis, which may be of length 0. Names may hold `/`.

    Attributes:
        name: as in `storage=NAME`.
        suffix: ends the names of this storage's folders, so that two storages can lie side by side; "" for one.
        marker: name of a file that lies in each folder of this storage and of no other.
        compressed: whether an array takes fewer bytes on disk than in memory.
    """

    name: str
    suffix: str
    marker: str
    compressed: bool

    def create_folder(self, folder: Path) -> None:
        """Make `folder` recognisable as one of this storage, holding no array yet."""

    def create(self, folder: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> WritableArray:
        """Begin an array in `folder`."""

    def write(self, folder: Path, arrays: Mapping[str, Rows]) -> FileTable:
        """Write whole, contiguous arrays at once, into a folder that may hold others.

        Nothing is flushed: durability is the caller's matter. Returns size and checksum of each file that was written,
        by its path below `folder`, taken of the bytes as they went out: they need not be read again.
        """

    def resume(self, folder: Path, name: str) -> WritableArray:
        """Go on writing an array that another process began, never into a file that it could still have open."""

    def open(self, folder: Path) -> Mapping[str, ReadableArray]:
        """All arrays of `folder` by name. Reads no rows yet.

        Here or when rows are read, raises DamagedArtifact with the path of a file that is cut, gone or changed.
        """

    def sweep(self, folder: Path) -> None:
        """Remove what writing left behind, such as lock files."""


def row_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Bytes of one row of the leading axis, at least 1."""
    return max(1, int(np.prod(shape[1:], dtype=np.int64)) * np.dtype(dtype).itemsize)


def chunk_rows(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Rows that are compressed together."""
    return max(1, CHUNK_BYTES // row_bytes(shape, dtype))


def block_rows(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Rows of one durable block: about `SHARD_BYTES`, in whole chunks."""
    chunk = chunk_rows(shape, dtype)
    return chunk * max(1, SHARD_BYTES // (chunk * row_bytes(shape, dtype)))


def write_arrays(storage: Storage, folder: Path, arrays: Mapping[str, Rows]) -> FileTable:
    """Write whole arrays at once; `files.sync_tree` makes them durable. Returns what `Storage.write` does.

    Raises ValueError for an array without an axis.
    """
    if scalars := sorted(name for name, array in arrays.items() if not array.ndim):
        raise ValueError(f"Arrays on disk have at least one axis; {', '.join(scalars)} has none.")
    return storage.write(folder, {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})


def blocks(array: ReadableArray, rows: int | None = None) -> Iterable[Rows]:
    """The array's leading axis in blocks of `rows` (default: one durable block)."""
    step = rows or block_rows(array.shape, array.dtype)
    for start in range(0, len(array), step):
        yield array[start : start + step]
