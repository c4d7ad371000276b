"""Flat arrays as datasets of one HDF5 file: streamed, compressed on all cores, resumed where a kill stopped them.

HDF5 files do not survive a kill, so compressed chunks are appended to a hidden log, of which the file is put together
at the end. Uncompressed arrays have their places in a file that is laid out at once, and are written there.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from isal import isal_zlib
from jaxtyping import Bool, Int64, Shaped
from zlib_ng import zlib_ng

from pipeline.dataset.columns import RowSpec
from pipeline.formats.chunk_log import ChunkLog
from pipeline.machine.files import sync_file, sync_folder, write_json
from pipeline.machine.threads import available_cores
from pipeline.wording import check_choice

COMPRESSIONS = ("gzip", "lzf", "none")
GZIP_LEVEL = 4
"""The library's own default."""

ISAL_LEVEL = 2
"""Of real numbers."""

CHUNK_BYTES = 512 * 2**10
"""Raw bytes of a chunk. Chunks are cut along time alone."""

WINDOW_BYTES = 16 * 2**20
"""Raw bytes of all columns that are read and compressed between two looks at the progress."""

SYNC_BYTES = 2**30
"""Raw bytes of an uncompressed file after which they are flushed, and not written again after a kill."""

STORED_RAW = 1
"""Filter mask of a chunk that compression did not make smaller: its one filter is skipped."""


@dataclass(frozen=True)
class FileColumn:
    """One dataset of the file.

    Attributes:
        name: its path in the file.
        row: dtype and shape of one row.
        count: its rows.
        read: gives rows [start, stop).
    """

    name: str
    row: RowSpec
    count: int
    read: Callable[[int, int], Shaped[np.ndarray, "rows ..."]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole dataset."""
        return (self.count, *self.row.shape)

    @property
    def nbytes(self) -> int:
        """Raw bytes of the whole dataset."""
        return self.count * self.row.nbytes

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk."""
        return max(1, min(self.count, CHUNK_BYTES // max(1, self.row.nbytes)))

    @property
    def chunks(self) -> int:
        """How many chunks it has."""
        return -(-self.count // self.chunk_rows) if self.nbytes else 0


def flag_column(name: str, count: int, rows: Int64[np.ndarray, " k"]) -> FileColumn:
    """A dataset of truth values that are true at these rows, which ascend."""

    def read(start: int, stop: int) -> Bool[np.ndarray, " rows"]:
        flags = np.zeros(stop - start, np.bool_)
        flags[rows[slice(*np.searchsorted(rows, (start, stop)))] - start] = True
        return flags

    return FileColumn(name, RowSpec(np.dtype(np.bool_), ()), count, read)


def write_hdf5(
    path: Path,
    columns: Sequence[FileColumn],
    compression: str,
    beside: Callable[[h5py.File], object],
    progress: Callable[[float], object] = lambda share: None,
) -> None:
    """Write a file with these datasets; `path` appears when it is whole, and is then left as it is.

    `compression` is `gzip`, `lzf` or `none`. `beside` writes all that is small: groups, attributes, other datasets.
    `progress` is told the share of the rows that is written. Called again after a kill, it goes on.
    """
    check_choice("format.compression", compression, COMPRESSIONS)
    if path.exists():
        progress(1.0)
        return
    write = _write_plain if compression == "none" else _write_compressed
    write(path, columns, compression, beside, progress)


def _hidden(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")


def _finish(unfinished: Path, path: Path, left: Path) -> None:
    """Give a whole file its name, and remove what was needed to make it."""
    sync_file(unfinished)
    unfinished.rename(path)
    sync_folder(path.parent)
    left.unlink(missing_ok=True)


def _described(columns: Sequence[FileColumn], compression: str) -> list[Any]:
    """What an unfinished file must agree in, to be gone on with; JSON."""
    return [compression, [[each.name, each.row.dtype.str, list(each.shape), each.chunk_rows] for each in columns]]


def _windows(columns: Sequence[FileColumn]) -> Iterator[float]:
    """Shares of all rows, so many bytes apart; the last one is 1."""
    count = max(1, -(-sum(column.nbytes for column in columns) // WINDOW_BYTES))
    return ((number + 1) / count for number in range(count))


def _create(file: h5py.File, column: FileColumn, compression: str) -> h5py.Dataset:
    """A dataset of which no chunk is written yet; one of no bytes has none."""
    if not column.nbytes:
        return file.create_dataset(column.name, column.shape, column.row.dtype)
    chunk = (column.chunk_rows, *column.row.shape)
    level = {"compression_opts": GZIP_LEVEL} if compression == "gzip" else {}
    return file.create_dataset(
        column.name, column.shape, column.row.dtype, chunks=chunk, compression=compression, **level
    )


def _write_plain(
    path: Path,
    columns: Sequence[FileColumn],
    compression: str,
    beside: Callable[[h5py.File], object],
    progress: Callable[[float], object],
) -> None:
    unfinished, journal = _hidden(path, "partial"), _hidden(path, "written")
    layout = _described(columns, compression)
    known = json.loads(journal.read_text()) if journal.exists() and unfinished.exists() else {}
    written: float = known["share"] if known.get("layout") == layout else 0.0
    if not written:
        with h5py.File(unfinished, "w") as file:
            _lay_out(file, columns)
            beside(file)
    with h5py.File(unfinished, "r") as file:
        places = [file[column.name].id.get_offset() for column in columns]
    with unfinished.open("r+b") as raw:
        unsynced = 0
        before = 0.0
        for share in _windows(columns):
            if share > written:
                unsynced += sum(_write_rows(raw, *each, before, share) for each in zip(columns, places, strict=True))
                if unsynced >= SYNC_BYTES:
                    raw.flush()
                    os.fsync(raw.fileno())
                    write_json(journal, {"layout": layout, "share": share})
                    unsynced = 0
            before = share
            progress(share)
    _finish(unfinished, path, journal)


def _lay_out(file: h5py.File, columns: Sequence[FileColumn]) -> None:
    """Datasets that have their places in the file, of which nothing is written yet."""
    for column in columns:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        layout.set_obj_track_times(False)
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        links.set_char_encoding(h5py.h5t.CSET_UTF8)
        space = h5py.h5s.create_simple(column.shape)
        h5py.h5d.create(
            file.id, column.name.encode(), h5py.h5t.py_create(column.row.dtype, logical=True), space, layout, links
        )


def _write_rows(raw: BinaryIO, column: FileColumn, place: int | None, before: float, share: float) -> int:
    """Write one window of a column; returns its bytes."""
    start, stop = int(column.count * before), int(column.count * share)
    if place is None or start == stop:
        return 0
    block = np.ascontiguousarray(column.read(start, stop), column.row.dtype)
    raw.seek(place + start * column.row.nbytes)
    raw.write(block.data)
    return block.nbytes


def _write_compressed(
    path: Path,
    columns: Sequence[FileColumn],
    compression: str,
    beside: Callable[[h5py.File], object],
    progress: Callable[[float], object],
) -> None:
    log = ChunkLog(_hidden(path, "chunks"), len(columns), _described(columns, compression))
    compress = _gzip if compression == "gzip" else _lzf
    with log, ThreadPoolExecutor(available_cores()) as threads:
        for share in _windows(columns):
            for number, column in enumerate(columns):
                last = column.chunks if share >= 1 else int(column.count * share) // column.chunk_rows
                _append(log, number, column, last, compress, threads)
            progress(share)
        unfinished = _hidden(path, "partial")
        with h5py.File(unfinished, "w") as file:
            beside(file)
            for number, column in enumerate(columns):
                dataset = _create(file, column, compression).id
                for chunk in range(column.chunks):
                    mask, data = log.chunk(number, chunk)
                    place = (chunk * column.chunk_rows, *(0 for _ in column.row.shape))
                    dataset.write_direct_chunk(place, data, mask)
    _finish(unfinished, path, log.path)


def _append(
    log: ChunkLog,
    number: int,
    column: FileColumn,
    last: int,
    compress: Callable[[Shaped[np.ndarray, "rows ..."]], tuple[int, bytes]],
    threads: Executor,
) -> None:
    """Compress the chunks of a column from the first that the log lacks up to number `last`."""
    first, rows = log.count(number), column.chunk_rows
    if first >= last:
        return
    block = np.ascontiguousarray(column.read(first * rows, min(last * rows, column.count)), column.row.dtype)
    if missing := (last - first) * rows - len(block):  # a chunk at the edge is as long as the others
        block = np.concatenate([block, np.zeros((missing, *block.shape[1:]), block.dtype)])
    chunks = (block[each * rows : (each + 1) * rows] for each in range(last - first))
    for chunk, (mask, data) in enumerate(threads.map(compress, chunks), first):
        log.append(number, chunk, mask, data)


def _gzip(chunk: Shaped[np.ndarray, "rows ..."]) -> tuple[int, bytes]:
    """Filter mask and bytes of a chunk, as HDF5's deflate filter gives them.

    ISA-L takes a tenth of the time and finds as much in real numbers, whose last digits are noise.
    """
    raw = chunk.tobytes()
    real = chunk.dtype.kind == "f"
    data = isal_zlib.compress(raw, ISAL_LEVEL) if real else zlib_ng.compress(raw, GZIP_LEVEL)
    return (0, data) if len(data) < len(raw) else (STORED_RAW, raw)


def _lzf(chunk: Shaped[np.ndarray, "rows ..."]) -> tuple[int, bytes]:
    """The same with h5py's own filter, which nothing else offers."""
    name = f"lzf-{threading.get_ident()}"  # of no file: it stays in memory
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("chunk", data=chunk, chunks=chunk.shape, compression="lzf")
        mask, data = dataset.id.read_direct_chunk((0,) * chunk.ndim)
    return mask, data
