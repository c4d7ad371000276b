"""Raw C-order little-endian `.bin` files and one `shapes.json`: memory mapped, for training loops."""

from __future__ import annotations

import json
import math
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DamagedArtifact
from pipeline.exact import STORED_KINDS
from pipeline.machine.files import FileTable, read_json, write_file, write_json
from pipeline.storage.contract import (
    MissingArray,
    ReadableArray,
    Rows,
    WritableArray,
    array_words,
    require_slice,
    row_bytes,
)

SHAPES = "shapes.json"

PIECE_BYTES = 2**20


class BinArray:
    """One file; slices of the leading axis are views of its memory map, and writes go straight to their place."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self.shape, self.dtype = path, shape, dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Rows:
        require_slice(rows, self._path)
        return self._map[rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Rows:
        return np.array(self._map, dtype, copy=copy)

    def __repr__(self) -> str:
        return array_words(self, self._path)

    def __reduce__(self) -> tuple[Any, ...]:
        return BinArray, (self._path, self.shape, self.dtype)  # not the map: pickling that would copy the file

    def write(self, start: int, block: Rows) -> None:
        with self._path.open("r+b") as file:
            file.seek(start * row_bytes(self.shape, self.dtype))
            file.write(np.ascontiguousarray(block, self.dtype).data)
            file.flush()
            os.fsync(file.fileno())

    def check(self) -> None:
        """Raises DamagedArtifact where the file is not there or has another size."""
        wanted = _bytes(self.shape, self.dtype)
        have = self._path.stat().st_size if self._path.is_file() else None
        if have != wanted:
            there = "the file is missing" if have is None else f"it has {have} bytes"
            raise DamagedArtifact(
                f"{self._path} should hold {list(self.shape)} {self.dtype} = {wanted} bytes, but {there}."
            )

    @cached_property
    def _map(self) -> Rows:
        self.check()
        if not _bytes(self.shape, self.dtype):  # an empty file cannot be mapped
            return np.empty(self.shape, self.dtype)
        with self._path.open("rb") as file:  # not np.memmap, which follows every link of the path, ten times as slow
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, self.dtype).reshape(self.shape)


class BinStorage:
    """`name.bin` per array (`/` in names makes folders); `shapes.json` maps name to shape and dtype."""

    name = "bin"
    suffix = "-bin"
    marker = SHAPES
    compressed = False

    def create_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SHAPES, {})

    def create(self, folder: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> WritableArray:
        dtype = np.dtype(dtype).newbyteorder("<")
        path = folder / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(_bytes(shape, dtype))
        shapes = read_json(folder / SHAPES)
        shapes[name] = {"shape": list(shape), "dtype": dtype.str}
        write_json(folder / SHAPES, shapes)
        return BinArray(path, shape, dtype)

    def write(self, folder: Path, arrays: Mapping[str, Rows]) -> FileTable:
        shapes = read_json(folder / SHAPES) if (folder / SHAPES).exists() else {}
        files: FileTable = {}
        for name, array in arrays.items():
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            path = folder / f"{name}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            files[f"{name}.bin"] = write_file(path, _pieces(little))
            shapes[name] = {"shape": list(array.shape), "dtype": little.dtype.str}
        files[SHAPES] = write_file(folder / SHAPES, [f"{json.dumps(shapes, indent=1)}\n".encode()])
        return files

    def resume(self, folder: Path, name: str) -> WritableArray:
        array = bin_array(folder, name)
        array.check()
        path = folder / f"{name}.bin"
        copy = path.with_suffix(".copy")
        shutil.copyfile(path, copy)  # another inode: a holder that lost its lease writes into the old one
        copy.replace(path)
        return array

    def open(self, folder: Path) -> Mapping[str, ReadableArray]:
        arrays = _arrays(folder)
        for array in arrays.values():
            array.check()
        return arrays

    def sweep(self, folder: Path) -> None:
        for copy in folder.rglob("*.copy"):
            copy.unlink()


def _pieces(array: Rows) -> Iterator[memoryview]:
    """The bytes of an array, so many at a time that those that were just hashed are still near the processor."""
    raw = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
    for start in range(0, len(raw), PIECE_BYTES):
        yield raw[start : start + PIECE_BYTES]


def bin_array(folder: Path, name: str) -> BinArray:
    """One array of a folder; its file is not looked at. Raises MissingArray, or DamagedArtifact."""
    if (array := _arrays(folder, name).get(name)) is None:
        raise MissingArray(f"{folder / SHAPES} names no array {name}.")
    return array


def _arrays(folder: Path, only: str | None = None) -> dict[str, BinArray]:
    """The arrays that `shapes.json` names, or one of them. Raises DamagedArtifact where it does not describe arrays."""
    try:
        return {
            name: BinArray(folder / f"{name}.bin", _shape(entry["shape"]), _dtype(entry["dtype"]))
            for name, entry in read_json(folder / SHAPES).items()
            if only in (None, name)
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedArtifact(f"{folder / SHAPES} does not describe arrays: {error}") from error


def _shape(sizes: Any) -> tuple[int, ...]:
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError(f"{sizes} is no shape")
    return tuple(sizes)


def _dtype(name: Any) -> np.dtype[Any]:
    if not isinstance(name, str) or np.dtype(name).kind not in STORED_KINDS:  # never read Python objects from a file
        raise ValueError(f"{name} is no dtype of numbers")
    return np.dtype(name)


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize
