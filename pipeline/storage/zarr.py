"""Zarr 3 groups, sharded and compressed, written and read through tensorstore."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from pipeline.errors import DamagedArtifact
from pipeline.files import write_json
from pipeline.storage.arrays import ReadableArray, WritableArray, block_rows, chunk_rows, read_json

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}
CONTEXT = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
UNFLUSHED = ts.Context({"cache_pool": {"total_bytes_limit": 0}, "file_io_sync": False})


class ZarrArray:
    """One array; slices of the leading axis come back as numpy arrays."""

    def __init__(self, path: Path, store: Any) -> None:
        self._path, self._store = path, store

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._store.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._store.dtype.numpy_dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise IndexError("arrays on disk are read in contiguous slices")
        try:
            block: np.ndarray = self._store[start : max(start, stop)].read().result()
        except ValueError as error:  # tensorstore reports a bad checksum or a torn chunk this way
            raise DamagedArtifact(f"{self._path} cannot be read: {error}") from error
        return block

    def write(self, start: int, block: np.ndarray) -> None:
        _write(self._store, start, np.ascontiguousarray(block)).result()


class ZarrStorage:
    """A zarr group per folder; names with `/` are arrays of nested groups. zarr-python reads all of it."""

    name = "zarr"
    suffix = ""

    def create_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "zarr.json", GROUP)

    def create(self, folder: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> WritableArray:
        for group in _groups(folder, name):
            if not (group / "zarr.json").exists():
                self.create_folder(group)
        return ZarrArray(folder / name, _creation(folder / name, shape, np.dtype(dtype), CONTEXT).result())

    def write(self, folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
        for group in {folder, *(group for name in arrays for group in _groups(folder, name))}:
            group.mkdir(parents=True, exist_ok=True)
            (group / "zarr.json").write_text(json.dumps(GROUP, indent=1) + "\n")
        # a part has many small arrays: what all of them wait for is waited for once
        opened = {name: _creation(folder / name, a.shape, a.dtype, UNFLUSHED) for name, a in arrays.items()}
        written = []
        for name, future in opened.items():
            store, array = future.result(), arrays[name]
            for start in range(0, len(array), step := block_rows(array.shape, array.dtype)):
                written.append(_write(store, start, array[start : start + step]))
        for future in written:
            future.result()

    def resume(self, folder: Path, name: str) -> WritableArray:
        return _open(folder / name)  # every shard is a file of its own, renamed into place when whole

    def open(self, folder: Path) -> Mapping[str, ReadableArray]:
        return _Arrays(folder)

    def sweep(self, folder: Path) -> None:
        for lock in folder.rglob("*.__lock"):
            lock.unlink()


class _Arrays(Mapping[str, ReadableArray]):
    """The arrays of a group by name; looked for and opened when they are asked for, because a part has many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: dict[str, ZarrArray] = {}

    def __getitem__(self, name: str) -> ReadableArray:
        if name not in self._opened:
            if not _is_array(self._folder / name):
                raise KeyError(name)
            self._opened[name] = _open(self._folder / name)
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _names(self) -> list[str]:
        found = []
        for current, folders, _ in os.walk(self._folder):
            if _is_array(Path(current)):
                found.append(Path(current).relative_to(self._folder).as_posix())
                folders.clear()  # an array's chunks
        return sorted(found)


def _is_array(folder: Path) -> bool:
    metadata = folder / "zarr.json"
    return metadata.is_file() and read_json(metadata).get("node_type") == "array"


def _write(store: Any, start: int, block: np.ndarray) -> Any:
    """A future of writing rows; they are not copied first, so the block must stay as it is until then."""
    return store[start : start + len(block)].write(block, can_reference_source_data_indefinitely=True)


def _groups(folder: Path, name: str) -> list[Path]:
    """The groups inside `folder` that an array's name passes through."""
    parts = name.split("/")
    return [folder.joinpath(*parts[:inner]) for inner in range(1, len(parts))]


def _creation(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], context: ts.Context) -> Any:
    """A future of the new array."""
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": _metadata(shape, dtype),
    }
    return ts.open(spec, create=True, delete_existing=True, context=context)


def _open(path: Path) -> ZarrArray:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    try:
        return ZarrArray(path, ts.open(spec, open=True, context=CONTEXT).result())
    except ValueError as error:
        raise DamagedArtifact(f"{path} is no readable zarr array: {error}") from error


def _metadata(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Shards of about 64 MB that hold separately compressed chunks of about 128 KB, both in whole rows.

    A shard never grows past the array: a small array is one small file.
    """
    chunk = max(1, min(chunk_rows(shape, dtype), shape[0]))
    shard = min(block_rows(shape, dtype), chunk * math.ceil(max(1, shape[0]) / chunk))
    shard = chunk * max(1, shard // chunk)
    rest = [max(1, size) for size in shape[1:]]
    little: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc: dict[str, Any] = {
        "name": "blosc",
        "configuration": {
            "cname": "zstd",
            "clevel": 3,
            "shuffle": "shuffle" if dtype.itemsize > 1 else "noshuffle",
            "typesize": dtype.itemsize,
            "blocksize": 0,
        },
    }
    sharding: dict[str, Any] = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [chunk, *rest],
            "codecs": [little, blosc],
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    return {
        "shape": list(shape),
        "data_type": "bool" if dtype == np.bool_ else dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shard, *rest]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": False if dtype == np.bool_ else 0,
        "codecs": [sharding],
    }
