"""Compressed chunks in a file that survives a kill, until an HDF5 file is put together of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zlib_ng import zlib_ng

RECORD = struct.Struct("<IQIQI")
"""Of the log: column, number of the chunk, filter mask, bytes that follow, and the CRC-32 of all of it."""

HEAD = 2**32 - 1
"""In the place of a column: the description of the columns, with which the log begins."""


class ChunkLog:
    """Finished chunks in the order in which they were made. A record that a kill or a power cut tore is cut off.

    A log of which something else is `described`, as JSON, is begun again.
    """

    def __init__(self, path: Path, columns: int, described: Any) -> None:
        self.path = path
        self._head = json.dumps(described).encode()
        self._places: list[list[tuple[int, int, int]]] = [[] for _ in range(columns)]
        path.touch()
        self._file = path.open("r+b")
        self._end = 0
        self._recover()

    def __enter__(self) -> ChunkLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def count(self, column: int) -> int:
        """How many chunks of a column are there: they come in order."""
        return len(self._places[column])

    def append(self, column: int, chunk: int, mask: int, data: bytes) -> None:
        """The next chunk of a column."""
        assert chunk == self.count(column)
        self._write(column, chunk, mask, data)
        self._places[column].append((self._end - len(data), len(data), mask))

    def chunk(self, column: int, chunk: int) -> tuple[int, bytes]:
        """Filter mask and bytes of a chunk."""
        place, size, mask = self._places[column][chunk]
        self._file.seek(place)
        return mask, self._file.read(size)

    def _write(self, column: int, chunk: int, mask: int, data: bytes) -> None:
        self._file.seek(self._end)
        self._file.write(RECORD.pack(column, chunk, mask, len(data), _check(column, chunk, mask, data)))
        self._file.write(data)
        self._end += RECORD.size + len(data)

    def _recover(self) -> None:
        for column, chunk, mask, data in self._records():
            if column == HEAD:
                if data != self._head:
                    break
            elif column >= len(self._places) or chunk != self.count(column):
                break
            else:
                self._places[column].append((self._end + RECORD.size, len(data), mask))
            self._end += RECORD.size + len(data)
        self._file.truncate(self._end)
        if not self._end:
            self._write(HEAD, 0, 0, self._head)

    def _records(self) -> Iterator[tuple[int, int, int, bytes]]:
        """The whole records of the log, which begins with its head."""
        self._file.seek(0)
        first = True
        while len(start := self._file.read(RECORD.size)) == RECORD.size:
            column, chunk, mask, size, check = RECORD.unpack(start)
            data = self._file.read(min(size, 2**32))
            if len(data) != size or check != _check(column, chunk, mask, data) or (first and column != HEAD):
                return
            first = False
            yield column, chunk, mask, data


def _check(column: int, chunk: int, mask: int, data: bytes) -> int:
    value: Any = zlib_ng.crc32(data, zlib_ng.crc32(struct.pack("<IQI", column, chunk, mask)))
    return int(value)
