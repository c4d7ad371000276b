"""Chunks of zarr arrays, read and checked one by one: also in forked processes, where tensorstore cannot be used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt64

from pipeline.errors import DamagedArtifact
from pipeline.storage.cold import will_need_file
from pipeline.storage.decoding import CRC_BYTES, decompress, gives_its_crc
from pipeline.storage.layout import ChunkLayout

ABSENT = 2**64 - 1
"""Offset and size of a chunk that a shard does not have."""

Bytes = UInt8[np.ndarray, " bytes"]


class ChunkedRows:
    """One zarr array of a known layout; where the chunks of its shards lie is read once a shard.

    Raises DamagedArtifact with the file's path where a chunk or an index is cut, gone, or not what was written.
    """

    def __init__(self, path: str, layout: ChunkLayout) -> None:
        self.path, self.layout = path, layout
        self._places: dict[int, UInt64[np.ndarray, "chunks 2"]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.layout.dtype

    def will_need(self, chunks: Sequence[int]) -> None:
        """Have the system read chunks of one file, without waiting for it. What is wrong with them, `decode` says."""
        name = self._file(chunks)
        if (file := _opened(name)) is None:
            return
        try:
            for chunk in chunks:
                if found := self._place(name, file, chunk):
                    will_need_file(file, *found)
        finally:
            os.close(file)

    def decode(self, chunks: Sequence[int], into: UInt8[np.ndarray, "places bytes"]) -> None:
        """Put chunks of one file, by their numbers in the array, into the first places, one after the other."""
        name = self._file(chunks)
        if (file := _opened(name)) is None:
            if self.layout.every_chunk:
                raise DamagedArtifact(f"{name} is missing.")
            into[: len(chunks)] = 0
            return
        try:
            for place, chunk in enumerate(chunks):
                found = self._place(name, file, chunk)
                self._decode(name, chunk, _exactly(name, file, *found) if found else None, into[place])
        finally:
            os.close(file)

    def _file(self, chunks: Sequence[int]) -> str:
        return f"{self.path}/{self.layout.file(chunks[0] // self.layout.chunks_in_file)}"

    def _place(self, name: str, file: int, chunk: int) -> tuple[int, int] | None:
        """Offset and size of a chunk in its file; None for one that older arrays leave out, because it is zeros."""
        if not self.layout.sharded:
            return 0, os.fstat(file).st_size
        number, within = divmod(chunk, self.layout.chunks_in_file)
        if number not in self._places:
            self._places[number] = _index(name, file, self.layout.chunks_in_file)
        offset, size = self._places[number][within].tolist()
        if offset != ABSENT:
            return offset, size
        if self.layout.every_chunk:
            raise DamagedArtifact(f"{name} does not hold {self._rows(chunk)}.")
        return None

    def _decode(self, name: str, chunk: int, data: bytes | None, into: Bytes) -> None:
        if data is None:
            into[:] = 0
            return
        if self.layout.checked:
            if not gives_its_crc(data):
                raise DamagedArtifact(f"{name} was changed: {self._rows(chunk)} do not give their checksum.")
            data = data[:-CRC_BYTES]
        try:
            decompress(self.layout.compressor, data, into)
        except (RuntimeError, ValueError) as error:  # numcodecs raises both
            raise DamagedArtifact(f"{name} cannot be read: {self._rows(chunk)}: {error}") from error

    def _rows(self, chunk: int) -> str:
        first = chunk * self.layout.chunk_rows
        return f"rows {first} to {min(first + self.layout.chunk_rows, self.shape[0])}"


def chunked_rows(folder: Path) -> ChunkedRows | None:
    """The zarr array in that folder; None where it is stored in a way that only zarr's own readers know.

    Raises DamagedArtifact where its metadata do not describe an array.
    """
    layout = ChunkLayout.of(folder)
    return ChunkedRows(str(folder), layout) if layout else None


def _opened(name: str) -> int | None:
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _index(name: str, file: int, chunks: int) -> UInt64[np.ndarray, "chunks 2"]:
    """Where a shard's chunks lie: offset and size of each, at the end of the file, with a checksum."""
    size, there = 16 * chunks + CRC_BYTES, os.fstat(file).st_size
    if there < size:
        raise DamagedArtifact(f"{name} is cut: it has {there} bytes, its index alone has {size}.")
    data = _exactly(name, file, there - size, size)
    if not gives_its_crc(data):
        raise DamagedArtifact(f"{name} was cut or changed: its index does not give its checksum.")
    places = np.frombuffer(data, "<u8", 2 * chunks).reshape(-1, 2)
    offsets, sizes = places[:, 0], places[:, 1]
    absent = (offsets == ABSENT) & (sizes == ABSENT)
    if not (absent | ((sizes <= there) & (offsets <= there - np.minimum(sizes, there)))).all():
        raise DamagedArtifact(f"{name} has {there} bytes, its index names chunks beyond.")
    return places


def _exactly(name: str, file: int, offset: int, size: int) -> bytes:
    data = os.pread(file, size, offset)
    if len(data) != size:
        raise DamagedArtifact(f"{name} is cut: {size} bytes at {offset} are wanted, {len(data)} are there.")
    return data
