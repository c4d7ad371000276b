"""Raw C-order little-endian `.bin` files and one `shapes.json`: memory mapped, for training loops."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DamagedArtifact
from pipeline.machine.files import read_json, write_json
from pipeline.storage.contract import ReadableArray, WritableArray, row_bytes

SHAPES = "shapes.json"


class BinArray:
    """Positioned writes into one preallocated file."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self._shape, self._dtype = path, shape, dtype

    def write(self, start: int, block: np.ndarray) -> None:
        with self._path.open("r+b") as file:
            file.seek(start * row_bytes(self._shape, self._dtype))
            file.write(np.ascontiguousarray(block, self._dtype).data)
            file.flush()
            os.fsync(file.fileno())


class BinStorage:
    """`name.bin` per array (`/` in names makes folders); `shapes.json` maps name to shape and dtype."""

    name = "bin"
    suffix = "-bin"

    def create_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SHAPES, {})

    def create(self, folder: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> WritableArray:
        dtype = np.dtype(dtype).newbyteorder("<")
        path = folder / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        shapes = read_json(folder / SHAPES)
        shapes[name] = {"shape": list(shape), "dtype": dtype.str}
        write_json(folder / SHAPES, shapes)
        return BinArray(path, shape, dtype)

    def write(self, folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
        shapes = read_json(folder / SHAPES) if (folder / SHAPES).exists() else {}
        for name, array in arrays.items():
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            path = folder / f"{name}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            little.tofile(path)
            shapes[name] = {"shape": list(array.shape), "dtype": little.dtype.str}
        (folder / SHAPES).write_text(json.dumps(shapes, indent=1) + "\n")

    def resume(self, folder: Path, name: str) -> WritableArray:
        path = folder / f"{name}.bin"
        copy = path.with_suffix(".copy")
        shutil.copyfile(path, copy)  # another inode: a holder that lost its lease writes into the old one
        copy.replace(path)
        entry = read_json(folder / SHAPES)[name]
        return BinArray(path, tuple(entry["shape"]), np.dtype(entry["dtype"]))

    def open(self, folder: Path) -> Mapping[str, ReadableArray]:
        return {name: _map(folder / f"{name}.bin", entry) for name, entry in read_json(folder / SHAPES).items()}

    def sweep(self, folder: Path) -> None:
        for copy in folder.rglob("*.copy"):
            copy.unlink()


def _map(path: Path, entry: dict[str, Any]) -> np.ndarray:
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    have = path.stat().st_size if path.is_file() else None
    if have != wanted:
        there = "the file is missing" if have is None else f"it has {have} bytes"
        raise DamagedArtifact(f"{path} should hold {list(shape)} {dtype} = {wanted} bytes, but {there}.")
    if wanted == 0:  # an empty file cannot be mapped
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape)
