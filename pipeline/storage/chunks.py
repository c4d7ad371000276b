"""Chunks of zarr arrays, read and checked one by one: also in forked processes, where tensorstore cannot be used."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt, UInt8

from pipeline.errors import DamagedArtifact
from pipeline.machine.files import folder_identity
from pipeline.storage.chunk_bytes import CRC_BYTES, decompress, gives_its_crc
from pipeline.storage.cold import will_need_file
from pipeline.storage.layout import ChunkLayout

ABSENT = 2**64 - 1
"""Offset and size of a chunk that a shard does not have."""


class ChunkedRows:
    """One zarr array of a known layout; where the chunks of its shards lie is read once a shard."""

    def __init__(self, path: str, layout: ChunkLayout) -> None:
        self.path, self.layout = path, layout
        self.identity = folder_identity(path)
        self.places: dict[int, UInt[np.ndarray, "chunks 2"]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.layout.dtype


class ChunkFile:
    """One file of such an array, open from the first chunk that is read until nobody holds this object.

    Raises DamagedArtifact with its path where a chunk or its index is cut, gone, or not what was written.
    """

    def __init__(self, array: ChunkedRows, number: int) -> None:
        self._array, self.layout, self._number = array, array.layout, number
        self._path = f"{array.path}/{array.layout.file(number)}"
        self._open: int | None = None
        self._lock = threading.Lock()  # several threads may read chunks of the same file

    def __del__(self) -> None:
        self._close()

    def will_need(self, chunks: Sequence[int]) -> None:
        """Have the system read chunks, without waiting for it. What is wrong with the file, `decode` says."""
        if self._is_there():
            for place in filter(None, map(self._place, chunks)):
                will_need_file(self._descriptor, *place)
        self._close()  # many files are asked for before the first of them is read

    def decode(self, chunks: Sequence[int], into: UInt8[np.ndarray, "places bytes"]) -> None:
        """Put chunks, by their numbers in the array, into the first places, one after the other."""
        if not self._is_there():
            if self.layout.every_chunk:
                raise DamagedArtifact(f"{self._path} is missing.")
            into[: len(chunks)] = 0
            return
        for number, chunk in enumerate(chunks):
            if place := self._place(chunk):
                self._decode(chunk, self._bytes(*place), into[number])
            else:
                into[number] = 0

    def _is_there(self) -> bool:
        with self._lock:
            if self._open is None:
                try:
                    self._open = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    return False
                if folder_identity(self._array.path) != self._array.identity:
                    raise DamagedArtifact(f"{self._array.path} was made anew since it was opened. Open it again.")
            return True

    @property
    def _descriptor(self) -> int:
        assert self._open is not None
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def _place(self, chunk: int) -> tuple[int, int] | None:
        """Offset and size of a chunk in the file; None for one that older arrays leave out, because it is zeros."""
        if not self.layout.sharded:
            return 0, self._size()
        if (places := self._array.places.get(self._number)) is None:
            places = self._array.places[self._number] = self._index()
        offset, size = places[chunk % self.layout.chunks_in_file].tolist()
        if offset != np.iinfo(places.dtype).max:
            return offset, size
        if self.layout.every_chunk:
            raise DamagedArtifact(f"{self._path} does not hold {self._rows(chunk)}.")
        return None

    def _index(self) -> UInt[np.ndarray, "chunks 2"]:
        """Where a shard's chunks lie: offset and size of each, at the end of the file, with a checksum."""
        size, there = 16 * self.layout.chunks_in_file + CRC_BYTES, self._size()
        if there < size:
            raise DamagedArtifact(f"{self._path} is cut: it has {there} bytes, its index alone has {size}.")
        data = self._bytes(there - size, size)
        if not gives_its_crc(data):
            raise DamagedArtifact(f"{self._path} was cut or changed: its index does not give its checksum.")
        places = np.frombuffer(data, "<u8", 2 * self.layout.chunks_in_file).reshape(-1, 2)
        offsets, sizes = places[:, 0], places[:, 1]
        absent = (offsets == ABSENT) & (sizes == ABSENT)
        if not (absent | ((sizes <= there) & (offsets <= there - np.minimum(sizes, there)))).all():
            raise DamagedArtifact(f"{self._path} has {there} bytes, its index names chunks beyond.")
        narrow = np.iinfo(np.uint32).max  # half the memory, of which many shards take much
        return np.minimum(places, narrow).astype(np.uint32) if there < narrow else places

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def _bytes(self, offset: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size:
            raise DamagedArtifact(f"{self._path} is cut: {size} bytes at {offset} are wanted, {len(data)} are there.")
        return data

    def _decode(self, chunk: int, data: bytes, into: UInt8[np.ndarray, " bytes"]) -> None:
        if self.layout.checked:
            if not gives_its_crc(data):
                raise DamagedArtifact(f"{self._path} was changed: {self._rows(chunk)} do not give their checksum.")
            data = data[:-CRC_BYTES]
        try:
            decompress(self.layout.compressor, data, into)
        except (RuntimeError, ValueError) as error:  # numcodecs raises both
            raise DamagedArtifact(f"{self._path} cannot be read: {self._rows(chunk)}: {error}") from error

    def _rows(self, chunk: int) -> str:
        first = chunk * self.layout.chunk_rows
        return f"rows {first} to {min(first + self.layout.chunk_rows, self._array.shape[0])}"


def chunked_rows(folder: Path) -> ChunkedRows | None:
    """The zarr array in that folder; None where it is stored in a way that only zarr's own readers know.

    Raises DamagedArtifact where its metadata do not describe an array.
    """
    layout = ChunkLayout.of(folder)
    return ChunkedRows(str(folder), layout) if layout else None
