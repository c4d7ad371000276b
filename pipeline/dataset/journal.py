"""The journal: finished episodes one after the other in one file, from when they end until they are packed into a part.

A record is a mark, the length of what follows, the episode's number and digest, and its content, of which that is the
digest. The system has all of it when `append` returns, so a kill loses nothing; it is not flushed to disk, so a power
cut may tear the last records. A new file for each short episode takes twelve times as long.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.dataset.plain import PlainEpisode
from pipeline.digest import SMALL_BYTES, digest_content
from pipeline.episode import Episode

JOURNAL = "journal.bin"
"""Name of the file, in the folder of spilled episodes."""

MARK = b"\x8eepisode"
"""Begins a record; after a torn one, the next begins at the next mark."""

HEAD = struct.Struct("<8sQQ32s")

MOST_PIECES = 512
"""So many pieces are written in one call; POSIX systems take 1,024."""


class Journal:
    """Appends to the journal at `path`. What stands there stays.

    Attributes:
        last: the number of the last episode that was appended, itself, and its digest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        there = os.fstat(self._file)
        self._end, self._inode = there.st_size, there.st_ino
        self.last: tuple[int, Episode | PlainEpisode, bytes] | None = None

    def append(self, number: int, episode: Episode | PlainEpisode) -> bytes:
        """Keep a finished episode and return its digest. Raises OSError where the disk is full or the like."""
        content: Sequence[bytes | memoryview] = episode.content()
        if (size := sum(map(len, content))) < SMALL_BYTES:
            content = [b"".join(content)]
        digest = digest_content(content)
        _write(self._file, [HEAD.pack(MARK, size, number, digest), *content], self._end)
        self._end += HEAD.size + size
        self.last = number, episode, digest
        return digest

    def clear(self) -> None:
        """Forget all episodes: they are in parts."""
        os.ftruncate(self._file, 0)
        self._end = 0

    def is_in_place(self) -> bool:
        """Whether the file is still at its path; another process that takes the work over moves it away."""
        try:
            return os.stat(self._path).st_ino == self._inode  # noqa: PTH116  # a Path takes as long again
        except OSError:
            return False

    def close(self) -> None:
        """Let the file go. Does nothing the second time."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_journal(path: Path) -> Iterator[tuple[int, Episode]]:
    """Number and episode of each whole record, in order. What a kill or a power cut has torn is passed over."""
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(MARK)
        while 0 <= at <= len(data) - HEAD.size:
            _, size, number, digest = HEAD.unpack_from(data, at)
            begin = at + HEAD.size
            content = data[begin : begin + size]
            whole = len(content) == size and digest_content([content]) == digest
            if whole:
                yield number, Episode.from_content(content)
            at = data.find(MARK, begin + size if whole else at + 1)


def _write(file: int, pieces: Sequence[bytes | memoryview], at: int) -> None:
    """Write all pieces at a place of the file."""
    if len(pieces) > MOST_PIECES:
        pieces = [b"".join(pieces)]
    size = sum(map(len, pieces))
    if (done := os.pwritev(file, pieces, at)) < size:  # a signal came, or more than 2 GiB
        rest = memoryview(b"".join(pieces))
        while done < size:
            done += os.pwrite(file, rest[done:], at + done)
