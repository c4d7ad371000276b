"""Reading rows of zarr arrays chunk by chunk, also in forked processes, where tensorstore cannot be used."""

from __future__ import annotations

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt64

from pipeline.errors import DamagedArtifact
from pipeline.machine.threads import available_cores
from pipeline.storage.contract import MissingArray
from pipeline.storage.decoding import CRC_BYTES, decompress, gives_its_crc
from pipeline.storage.layout import ZARR_JSON, ChunkLayout

ABSENT = 2**64 - 1
"""Offset and size of a chunk that a shard does not have."""

TOGETHER = 8
"""So many neighbouring chunks at most are read by one thread, from a file that is opened once."""

Target = UInt8[np.ndarray, "rows bytes"]
"""The caller's rows."""

WantedRows = tuple[int, int, int]
"""First row in a chunk, number of rows, and the caller's row that the first one goes to."""

WantedChunks = dict[int, list[WantedRows]]
"""What is wanted of some chunks of one file, by their number in the array."""


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

    def fill(self, chunks: WantedChunks, out: Target) -> None:
        """Put rows of some chunks of one file where they belong."""
        number = next(iter(chunks)) // self.layout.chunks_in_file
        name = f"{self.path}/{self.layout.file(number)}"
        try:
            file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            if self.layout.every_chunk:
                raise DamagedArtifact(f"{name} is missing.") from error
            for each in chunks.values():
                _zeros(each, out)
            return
        try:
            for chunk, wanted in chunks.items():
                self._fill(name, file, chunk, wanted, out)
        finally:
            os.close(file)

    def _fill(self, name: str, file: int, chunk: int, wanted: list[WantedRows], out: Target) -> None:
        data, rows = self._read(name, file, chunk), self.layout.chunk_rows
        if data is None:
            _zeros(wanted, out)
        elif len(wanted) == 1 and wanted[0][1] == rows:
            at = wanted[0][2]
            self._decode(name, chunk, data, out[at : at + rows])
        else:
            whole = np.empty((rows, out.shape[1]), np.uint8)
            self._decode(name, chunk, data, whole)
            for first, count, at in wanted:
                out[at : at + count] = whole[first : first + count]

    def _read(self, name: str, file: int, chunk: int) -> bytes | None:
        """The stored bytes of a chunk; None for one that older arrays leave out, because it is zeros."""
        if not self.layout.sharded:
            return _exactly(name, file, os.fstat(file).st_size, 0)
        number, within = divmod(chunk, self.layout.chunks_in_file)
        if number not in self._places:
            self._places[number] = _index(name, file, self.layout.chunks_in_file)
        offset, size = self._places[number][within].tolist()
        if offset == size == ABSENT:
            if self.layout.every_chunk:
                raise DamagedArtifact(f"{name} does not hold {self._rows(chunk)}.")
            return None
        return _exactly(name, file, size, offset)

    def _decode(self, name: str, chunk: int, data: bytes, into: Target) -> None:
        if self.layout.checked:
            if not gives_its_crc(data):
                raise DamagedArtifact(f"{name} was changed: {self._rows(chunk)} do not give their checksum.")
            data = data[:-CRC_BYTES]
        try:
            decompress(self.layout.compressor, data, into.reshape(-1))
        except (RuntimeError, ValueError) as error:  # numcodecs raises both
            raise DamagedArtifact(f"{name} cannot be read: {self._rows(chunk)}: {error}") from error

    def _rows(self, chunk: int) -> str:
        first = chunk * self.layout.chunk_rows
        return f"rows {first} to {min(first + self.layout.chunk_rows, self.shape[0])}"


Span = tuple[ChunkedRows, int, int, int]
"""An array, the first row, the number of rows, and the caller's row that the first one goes to."""


def chunked_rows(folder: Path, name: str) -> ChunkedRows | None:
    """An array of a group; None where it is stored in a way that only zarr's own readers know.

    Raises MissingArray, or DamagedArtifact where its metadata do not describe an array.
    """
    if not (folder / name / ZARR_JSON).is_file():
        raise MissingArray(f"{folder} holds no array {name}: {folder / name / ZARR_JSON} is missing.")
    layout = ChunkLayout.of(folder / name)
    return ChunkedRows(f"{folder / name}", layout) if layout else None


def fill(spans: Iterable[Span], out: Target, threads: int | None = None) -> None:
    """Read all spans, each chunk once, by several threads: as many as there are cores, in a worker process by one."""
    jobs = _jobs(spans)
    left = iter(jobs)  # all threads take from it; no two get the same
    count = min(threads or _usual_threads(), len(jobs))
    others = [_pool(os.getpid()).submit(_work, left, out) for _ in range(count - 1)]
    try:
        _work(left, out)
    finally:
        begun = [other for other in others if not other.cancel()]
        wait(begun)  # afterwards nobody writes into `out` any more
    for other in begun:
        other.result()


def _work(left: Iterator[tuple[ChunkedRows, WantedChunks]], out: Target) -> None:
    try:
        for array, chunks in left:
            array.fill(chunks, out)
    except BaseException:
        for _ in left:  # the others need not go on
            pass
        raise


def _jobs(spans: Iterable[Span]) -> list[tuple[ChunkedRows, WantedChunks]]:
    """Neighbouring chunks of one file, and what is wanted of each, in the order of the files."""
    by_array: dict[ChunkedRows, WantedChunks] = {}
    for array, start, count, at in spans:
        chunks = by_array.setdefault(array, defaultdict(list))
        rows, stop = array.layout.chunk_rows, start + count
        while start < stop:
            chunk, first = divmod(start, rows)
            taken = min(rows - first, stop - start)
            chunks[chunk].append((first, taken, at))
            start, at = start + taken, at + taken
    return [(array, job) for array, chunks in by_array.items() for job in _neighbours(array.layout, chunks)]


def _neighbours(layout: ChunkLayout, chunks: WantedChunks) -> Iterator[WantedChunks]:
    job: WantedChunks = {}
    for chunk in sorted(chunks):
        if job and (chunk - 1 not in job or len(job) == TOGETHER or chunk % layout.chunks_in_file == 0):
            yield job
            job = {}
        job[chunk] = chunks[chunk]
    if job:
        yield job


def _usual_threads() -> int:
    return available_cores() if multiprocessing.parent_process() is None else 1


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of the one that it was forked from did not come along."""
    return ThreadPoolExecutor(available_cores(), f"chunks-{process}")


def _zeros(wanted: list[WantedRows], out: Target) -> None:
    for _, count, at in wanted:
        out[at : at + count] = 0


def _index(name: str, file: int, chunks: int) -> UInt64[np.ndarray, "chunks 2"]:
    """Where a shard's chunks lie: offset and size of each, at the end of the file, with a checksum."""
    size, there = 16 * chunks + CRC_BYTES, os.fstat(file).st_size
    if there < size:
        raise DamagedArtifact(f"{name} is cut: it has {there} bytes, its index alone has {size}.")
    data = _exactly(name, file, size, there - size)
    if not gives_its_crc(data):
        raise DamagedArtifact(f"{name} was cut or changed: its index does not give its checksum.")
    places = np.frombuffer(data, "<u8", 2 * chunks).reshape(-1, 2)
    stored = places[(places != ABSENT).any(axis=1)]
    if (stored > there).any() or (stored.sum(axis=1) > there).any():
        raise DamagedArtifact(f"{name} has {there} bytes, its index names chunks beyond.")
    return places


def _exactly(name: str, file: int, size: int, offset: int) -> bytes:
    data = os.pread(file, size, offset)
    if len(data) != size:
        raise DamagedArtifact(f"{name} is cut: {size} bytes at {offset} are wanted, {len(data)} are there.")
    return data
