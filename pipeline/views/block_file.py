"""A file of rows that is mapped into memory and filled block by block, by several processes at once.

Each block has a record: how many rows it has, their CRC-32C, and what they were made from. A block without a right
record is filled again, so a kill, a power cut, or another dataset under the same name leave nothing wrong behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from blake3 import blake3
from jaxtyping import Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.storage.maps import MappedBytes

MAGIC = b"repertoire rows 1\n".ljust(32)
RECORDS_AT = 4096
"""Where the records begin; before them stands what the file is."""

RECORD = struct.Struct("<II16s8s")
"""Rows, their checksum, their source, and a checksum of these."""

DATA_AT = RECORDS_AT + 4 * 2**20
"""Where the rows begin. Nothing is stored of the records of blocks that are not filled: the file has holes."""

READ_AND_WRITE = os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)

MOST_BLOCKS = (DATA_AT - RECORDS_AT) // RECORD.size


class BlockFile:
    """The rows [0, rows) of an array in a file, of which some blocks are filled.

    Args:
        path: of the file; made where there is none, or another.
        identity: what the rows are, 16 bytes; a file of other rows is replaced.
        row: one of them.
        rows: how many; the file may hold more, of a larger view of the same dataset.
        block: rows of a block.

    Attributes:
        array: all rows; what is not filled is zeros.

    Raises OSError where the file cannot be made, or written to.
    """

    def __init__(self, path: Path, identity: bytes, row: RowSpec, rows: int, block: int) -> None:
        if -(-rows // block) > MOST_BLOCKS:
            raise OSError(f"{path} would have more than {MOST_BLOCKS} blocks")
        self._head = MAGIC + identity + struct.pack("<QQ", row.nbytes, block)
        self._row_bytes, self._block, self._rows = row.nbytes, block, rows
        self._path = path
        file = self._begun()
        try:
            if (status := os.fstat(file)).st_size < (size := DATA_AT + rows * row.nbytes):
                _lengthen(file, size)
            self._inode = status.st_dev, status.st_ino
            mapped = np.asarray(MappedBytes(file, size))
        finally:
            os.close(file)
        self.array: Shaped[np.ndarray, "rows ..."] = mapped[DATA_AT:].view(row.dtype).reshape(rows, *row.shape)

    def is_filled(self, block: int, source: bytes) -> bool:
        """Whether a block holds what was made from `source`; reads all of it."""
        with suppress(OSError), self._opened() as file:
            return self._is_right(os.pread(file, RECORD.size, self._record_at(block)), block, source)
        return False

    def _is_right(self, record: bytes, block: int, source: bytes) -> bool:
        if len(record) < RECORD.size:
            return False
        rows, checksum, of, check = RECORD.unpack(record)
        start, stop = self._between(block)
        if rows != stop - start or of != source or check != self._check(record, block):
            return False
        return bool(google_crc32c.value(self.array[start:stop].tobytes()) == checksum)

    def fill(self, block: int, source: bytes, rows: Shaped[np.ndarray, "rows ..."]) -> None:
        """Write the rows of a block, then its record. Raises OSError where the disk is full."""
        data = np.ascontiguousarray(rows).tobytes()
        record = RECORD.pack(len(rows), google_crc32c.value(data), source, bytes(8))
        record = record[:-8] + self._check(record, block)
        with self._opened() as file:
            _write(file, data, DATA_AT + block * self._block * self._row_bytes)
            _write(file, record, self._record_at(block))

    def _between(self, block: int) -> tuple[int, int]:
        return block * self._block, min((block + 1) * self._block, self._rows)

    def _record_at(self, block: int) -> int:
        return RECORDS_AT + block * RECORD.size

    def _check(self, record: bytes, block: int) -> bytes:
        return blake3(record[:-8] + block.to_bytes(8, "little") + self._head).digest(8)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file that is mapped, open for a while: of many datasets there are more than a process may keep open."""
        file = os.open(self._path, READ_AND_WRITE)
        try:
            status = os.fstat(file)
            if (status.st_dev, status.st_ino) != self._inode:
                raise FileNotFoundError(errno.ENOENT, "it was replaced", str(self._path))
            yield file
        finally:
            os.close(file)

    def _begun(self) -> int:
        """The open file: the one that is there, if it is of these rows, or a new one."""
        path = self._path
        for _ in range(3):
            with suppress(FileNotFoundError):
                file = os.open(path, READ_AND_WRITE)
                if os.pread(file, len(self._head), 0) == self._head:
                    return file
                os.close(file)
                path.unlink(missing_ok=True)  # who has it mapped keeps it
            self._begin(path)
        raise OSError(f"{path} is replaced again and again")

    def _begin(self, path: Path) -> None:
        """Make an empty file, unless another process has done so."""
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            temporary.write_bytes(self._head)
            temporary.chmod(0o600 if path.parent.stat().st_mode & 0o077 == 0 else 0o644)
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _lengthen(file: int, size: int) -> None:
    """Make a file that long, and never shorter: another process may make it longer, or fill it, at the same time."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, size - 1, 1)
        return
    fcntl.flock(file, fcntl.LOCK_EX)  # macOS, where all processes come this way
    try:
        if os.fstat(file).st_size < size:
            os.ftruncate(file, size)
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _write(file: int, data: Any, place: int) -> None:
    left = memoryview(data)
    while len(left):
        written = os.pwrite(file, left, place)
        left, place = left[written:], place + written
