"""Zarr 3 groups, sharded and compressed, written and read through tensorstore."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.machine.files import FileTable, file_table, read_json, write_file, write_json
from pipeline.machine.threads import available_cores
from pipeline.storage.contract import (
    MissingArray,
    ReadableArray,
    Rows,
    WritableArray,
    array_words,
    block_rows,
    chunk_rows,
    require_slice,
)
from pipeline.storage.layout import EVERY_CHUNK, ZARR_JSON
from pipeline.wording import few

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
CRC = {"name": "crc32c"}
ZSTD_LEVEL = 1
ZSTD = {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}
UNCACHED = {"cache_pool": {"total_bytes_limit": 0}}
UNFLUSHED = {**UNCACHED, "file_io_sync": False}


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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Rows:
        return np.array(self[:], dtype, copy=copy or None)  # what was read is ours already

    def __repr__(self) -> str:
        return array_words(self, self._path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self._path,)

    def __getitem__(self, rows: slice) -> Rows:
        _require_no_fork(self._path)
        require_slice(rows, self._path)
        start, stop, _ = rows.indices(len(self))
        try:
            block: Rows = self._store[start : max(start, stop)].read().result()
        except ValueError as error:  # tensorstore reports a bad checksum or a torn chunk this way
            raise DamagedArtifact(f"{self._path} cannot be read: {error}") from error
        return block

    def write(self, start: int, block: Rows) -> None:
        _write(self._store, start, np.ascontiguousarray(block)).result()


class ZarrStorage:
    """A zarr group per folder; names with `/` are arrays of nested groups. zarr-python reads all of it.

    Every chunk is stored, also one of zeros: zarr reads a missing chunk as zeros, here it is an error. Older arrays
    lack their chunks of zeros and are read as zarr reads them; stage=verify finds files that their manifest lists and
    that are missing.
    """

    name = "zarr"
    suffix = ""
    marker = ZARR_JSON
    compressed = True

    def create_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / ZARR_JSON, GROUP)

    def create(self, folder: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> WritableArray:
        for group in _groups(folder, name):
            if not (group / ZARR_JSON).exists():
                self.create_folder(group)
        return ZarrArray(folder / name, _creation(folder / name, shape, np.dtype(dtype)).result())

    def write(self, folder: Path, arrays: Mapping[str, Rows]) -> FileTable:
        files: FileTable = {}
        for group in {folder, *(group for name in arrays for group in _groups(folder, name))}:
            group.mkdir(parents=True, exist_ok=True)
            path = group / ZARR_JSON
            files[path.relative_to(folder).as_posix()] = write_file(path, [_as_json(GROUP)])
        opened = {}
        for name, array in arrays.items():
            if _is_one_chunk(array.shape, array.dtype):
                files |= _write_chunk(folder, name, array)
            else:
                opened[name] = _creation(folder / name, array.shape, array.dtype, flush=False)
        written = []
        for name, future in opened.items():
            store, array = future.result(), arrays[name]
            for start in range(0, len(array), step := block_rows(array.shape, array.dtype)):
                written.append(_write(store, start, array[start : start + step]))
        for future in written:
            future.result()
        for name in opened:
            self.sweep(folder / name)
            files |= file_table(folder / name, folder)
        return files

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

    def __reduce__(self) -> tuple[Any, ...]:
        return _Arrays, (self._folder,)

    def __getitem__(self, name: str) -> ReadableArray:
        if name not in self._opened:
            if not _is_array(self._folder / name):
                raise MissingArray(
                    f"{self._folder} holds no array {name}: {self._folder / name / ZARR_JSON} is missing. "
                    f"What is there: {few(self._names) or 'nothing'}."
                )
            self._opened[name] = _open(self._folder / name)
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"{self._folder}: {', '.join(self._names)}"

    @cached_property
    def _names(self) -> list[str]:
        found = []
        for current, folders, _ in os.walk(self._folder):
            if _is_array(Path(current)):
                found.append(Path(current).relative_to(self._folder).as_posix())
                folders.clear()  # an array's chunks
        return sorted(found)


def _is_array(folder: Path) -> bool:
    path = folder / ZARR_JSON
    metadata = read_json(path) if path.is_file() else None
    return isinstance(metadata, dict) and metadata.get("node_type") == "array"


def _write(store: Any, start: int, block: Rows) -> Any:
    """A future of writing rows; they are not copied first, so the block must stay as it is until then."""
    return store[start : start + len(block)].write(block, can_reference_source_data_indefinitely=True)


def _groups(folder: Path, name: str) -> list[Path]:
    """The groups inside `folder` that an array's name passes through."""
    parts = name.split("/")
    return [folder.joinpath(*parts[:inner]) for inner in range(1, len(parts))]


def _creation(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], flush: bool = True) -> Any:
    """A future of the new array."""
    import tensorstore

    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "metadata": _metadata(shape, dtype),
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
    }
    return tensorstore.open(spec, create=True, delete_existing=True, context=_context(flush))


@cache
def _context(flush: bool) -> Any:
    import tensorstore  # with the first array that is opened; a command that finds everything opens none

    cores = {"data_copy_concurrency": {"limit": available_cores()}}
    return tensorstore.Context({**(UNCACHED if flush else UNFLUSHED), **cores})


@cache
def _process() -> int:
    """The process that used tensorstore first; one that was forked from it inherits the answer."""
    return os.getpid()


def _require_no_fork(path: Path) -> None:
    """Raises InvalidInput in a forked process: tensorstore's threads do not come along, so it would abort."""
    if _process() != os.getpid():
        raise InvalidInput(
            f"{path} is a zarr array, which a forked process cannot read. Start workers by spawning: "
            f'DataLoader(..., multiprocessing_context="spawn"); or keep the data as storage=bin.'
        )


def _open(path: Path) -> ZarrArray:
    _require_no_fork(path)
    import tensorstore

    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": not _attributes(path).get(EVERY_CHUNK),
    }
    try:
        return ZarrArray(path, tensorstore.open(spec, open=True, context=_context(True)).result())
    except ValueError as error:
        raise DamagedArtifact(f"{path} is no readable zarr array: {error}") from error


def _attributes(path: Path) -> Mapping[str, Any]:
    metadata = read_json(path / ZARR_JSON)
    attributes = metadata.get("attributes", {}) if isinstance(metadata, dict) else None
    if not isinstance(attributes, dict):
        raise DamagedArtifact(f"{path / ZARR_JSON} does not describe a zarr array.")
    return attributes


def _is_one_chunk(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return shape[0] <= chunk_rows(shape, dtype)


def _write_chunk(folder: Path, name: str, array: Rows) -> FileTable:
    """A small array as a whole: a part has many, and tensorstore takes a millisecond for each, mostly to open it."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    pieces = {ZARR_JSON: _as_json(_metadata(array.shape, array.dtype))}
    if array.size:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        import google_crc32c
        from numcodecs import zstd  # all its codecs load with it, a tenth of a second that readers need not wait for

        chunk = zstd.compress(little, ZSTD_LEVEL)
        pieces["c" + ".0" * array.ndim] = chunk + google_crc32c.value(chunk).to_bytes(4, "little")
    return {f"{name}/{file}": write_file(folder / name / file, [data]) for file, data in pieces.items()}


def _as_json(metadata: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(metadata)}\n".encode()


def _metadata(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Chunks of about 128 KB, compressed separately, in shards of about 64 MB, both in whole rows.

    What fits into one chunk is one chunk, in a file beside the metadata: a small array is one small file.
    """
    rest = [max(1, size) for size in shape[1:]]
    if _is_one_chunk(shape, dtype):
        separator, chunk_shape, codecs = ".", [max(1, shape[0]), *rest], [LITTLE, ZSTD, CRC]
    else:
        chunk = chunk_rows(shape, dtype)
        shard = min(block_rows(shape, dtype), chunk * math.ceil(shape[0] / chunk))
        chunk_shape, codecs = [chunk * max(1, shard // chunk), *rest], [_sharding([chunk, *rest], dtype)]
        separator = "/"
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "bool" if dtype == np.bool_ else dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": separator}},
        "fill_value": False if dtype == np.bool_ else 0,
        "codecs": codecs,
        "attributes": {EVERY_CHUNK: True},
    }


def _sharding(chunk_shape: list[int], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Wide integers are byte-shuffled first, because most of their high bytes are alike. Frames and floats become as
    small without shuffling, in a third of the time, and higher levels do not make them smaller. The checksum is CRC-32C
    over the compressed bytes, which processors compute: Zstandard's own is over the raw bytes and a third of the work
    of reading frames, and Blosc has none. Older arrays have Zstandard's own.
    """
    shuffled = {"cname": "zstd", "clevel": 3, "shuffle": "shuffle", "typesize": dtype.itemsize, "blocksize": 0}
    wide = dtype.kind in "iu" and dtype.itemsize > 1
    configuration = {
        "chunk_shape": chunk_shape,
        "codecs": [LITTLE, {"name": "blosc", "configuration": shuffled} if wide else ZSTD, CRC],
        "index_codecs": [LITTLE, CRC],
        "index_location": "end",
    }
    return {"name": "sharding_indexed", "configuration": configuration}
