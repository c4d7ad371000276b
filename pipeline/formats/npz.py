"""An .npz of arrays that are there, and one that is written while its rows come, of which memory holds a block each."""

from __future__ import annotations

import functools
import io
import shutil
import struct
import tempfile
import zipfile
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np
from isal import isal_zlib
from jaxtyping import Shaped
from numpy.lib import format as npy
from zlib_ng import zlib_ng

from pipeline.errors import InvalidInput
from pipeline.machine.threads import available_cores

BLOCK = 2**20
"""Bytes that are compressed on their own; so several are at once, and the same bytes come out."""

LEVEL = 3
"""As small as `numpy.savez_compressed`, which takes level 6 of another program, in a third of the time."""

ISAL_LEVEL = 2
"""Of a whole array at once: about as small as `numpy.savez_compressed`, in a tenth of its time or less."""

ALIGNMENT = 64
"""Bytes of arrays that are not compressed begin at a multiple of it, so that they can be mapped into memory."""

PADDING = 0xD935
"""The kind of a zip's extra field that only fills space, as Android's zipalign writes it."""

MADE = (1980, 1, 1, 0, 0, 0)
"""The date of each file inside: the earliest that a zip can have, so that equal arrays give equal bytes."""


class NpzArray(NamedTuple):
    """dtype and shape of an array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def write_npz(path: str | Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]], compressed: bool) -> None:
    """The very bytes of `numpy.savez`, or a file as of `numpy.savez_compressed`, in a fraction of their time."""
    members, end = [], 0
    with open(path, "wb") as file:
        for name, array in arrays.items():
            member = _info(f"{name}.npy", compressed)
            content: list[bytes | memoryview] = [_npy_header(NpzArray(array.dtype, array.shape)), _bytes_of(array)]
            member.CRC = zlib_ng.crc32(content[1], zlib_ng.crc32(content[0]))
            member.file_size = sum(len(each) for each in content)
            if compressed:
                content = [isal_zlib.compress(b"".join(content), ISAL_LEVEL, -isal_zlib.MAX_WBITS)]
            member.compress_size, member.header_offset = sum(len(each) for each in content), end
            head = member.FileHeader(zip64=True)
            file.writelines([head, *content])
            end += len(head) + member.compress_size
            members.append(member)
        _write_directory(file, members)


class NpzWriter:
    """Writes the file of `numpy.savez`, or of `numpy.savez_compressed`, of arrays whose shapes are known.

    `append` takes their rows, in any order among the arrays; `grow` the items of a vector whose length is not known.
    Leaving the block finishes the file. Its bytes depend on its arrays alone.

    Args:
        path: where the file is written, in place: give it a hidden name.
        arrays: what it holds, by the name that `numpy.load` gives it, in this order.
        compressed: as `numpy.savez_compressed` does; without it no byte is written twice.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "some.npz"
    ...     with NpzWriter(path, {"a": NpzArray(np.dtype("int64"), (3, 2))}, compressed=True) as file:
    ...         file.append("a", np.zeros((2, 2), "int64"))
    ...         file.append("a", np.ones((1, 2), "int64"))
    ...     np.load(path)["a"].tolist()
    [[0, 0], [0, 0], [1, 1]]
    """

    def __init__(self, path: Path, arrays: Mapping[str, NpzArray], compressed: bool) -> None:
        self._path, self._compressed = path, compressed
        self._file = path.open("w+b")
        self._threads = ThreadPoolExecutor(available_cores())
        self._growing: dict[str, tuple[np.dtype[Any], IO[bytes]]] = {}
        self._files: dict[str, bytes] = {}
        self._end = 0
        self._members = {name: self._member(f"{name}.npy", array) for name, array in arrays.items()}

    def append(self, name: str, rows: Shaped[np.ndarray, "n ..."]) -> None:
        """The next rows of an array, which must have its dtype and the shape of its rows."""
        member = self._members[name]
        assert (rows.dtype, rows.shape[1:]) == (member.array.dtype, member.array.shape[1:]), name
        member.write(_bytes_of(rows))

    def grow(self, name: str, items: Shaped[np.ndarray, "n"]) -> None:
        """The next items of a vector. It is written when the file is finished, after all other arrays."""
        if name not in self._growing:
            self._growing[name] = (items.dtype, self._spool())
        self._growing[name][1].write(_bytes_of(items))

    def add_file(self, name: str, content: bytes) -> None:
        """A file that is no array; `numpy.load` gives its bytes."""
        self._files[name] = content

    def __enter__(self) -> NpzWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._threads.shutdown()
            for _, file in self._growing.values():
                file.close()
            self._file.close()

    def _member(self, name: str, array: NpzArray | None, size: int = 0) -> _Member:
        info = _info(name, self._compressed)
        header = _npy_header(array) if array else b""
        info.file_size = len(header) + (_size_of(array) if array else size)
        if self._compressed:
            member: _Member = _Compressed(info, array, self._spool(), self._threads)
        else:
            info.header_offset = self._end
            info.extra = _padding(self._end + len(info.FileHeader(zip64=True)))
            member = _Placed(info, array, self._file)
            self._end += len(info.FileHeader(zip64=True)) + info.file_size
        member.write(header)
        return member

    def _spool(self) -> IO[bytes]:
        """A file without a name: nothing of it is left after a kill."""
        return tempfile.TemporaryFile(dir=self._path.parent)

    def _finish(self) -> None:
        members = list(self._members.values())
        for name, (dtype, file) in self._growing.items():
            count = file.tell() // dtype.itemsize
            members.append(self._member(f"{name}.npy", NpzArray(dtype, (count,))))
            file.seek(0)
            while block := file.read(BLOCK):
                members[-1].write(block)
        for name, content in self._files.items():
            members.append(self._member(name, None, len(content)))
            members[-1].write(content)
        for member in members:
            self._end = member.finish(self._file, self._end)
        self._file.seek(self._end)
        _write_directory(self._file, [member.info for member in members])


class _Member:
    """A file inside, of which the next bytes are written."""

    def __init__(self, info: zipfile.ZipInfo, array: NpzArray | None) -> None:
        self.info, self.written, self.array = info, 0, array or NpzArray(np.dtype(np.uint8), (0,))

    def write(self, content: bytes | memoryview) -> None:
        self.info.CRC = zlib_ng.crc32(content, self.info.CRC)
        self.written += len(content)

    def finish(self, file: IO[bytes], end: int) -> int:
        """Write what is left into the zip, of which the first `end` bytes are taken. Returns the new end."""
        assert self.written == self.info.file_size, f"{self.info.filename} has {self.written} bytes"
        return end


class _Placed(_Member):
    """It lies in the zip where it will stay, for its size is known."""

    def __init__(self, info: zipfile.ZipInfo, array: NpzArray | None, file: IO[bytes]) -> None:
        super().__init__(info, array)
        info.compress_size = info.file_size
        self._file, self._start = file, info.header_offset + len(info.FileHeader(zip64=True))

    def write(self, content: bytes | memoryview) -> None:
        self._file.seek(self._start + self.written)
        self._file.write(content)
        super().write(content)

    def finish(self, file: IO[bytes], end: int) -> int:
        file.seek(self.info.header_offset)
        file.write(self.info.FileHeader(zip64=True))
        return super().finish(file, end)


class _Compressed(_Member):
    """It is compressed into a file of its own, block by block, several at once; that is copied into the zip."""

    def __init__(
        self, info: zipfile.ZipInfo, array: NpzArray | None, spool: IO[bytes], threads: ThreadPoolExecutor
    ) -> None:
        super().__init__(info, array)
        self._spool, self._threads = spool, threads
        self._block = bytearray()
        self._waiting: deque[Future[bytes]] = deque()

    def write(self, content: bytes | memoryview) -> None:
        super().write(content)
        self._block += content
        while len(self._block) >= BLOCK:
            self._compress(bytes(self._block[:BLOCK]), zlib_ng.Z_FULL_FLUSH)
            del self._block[:BLOCK]

    def finish(self, file: IO[bytes], end: int) -> int:
        self._compress(bytes(self._block), zlib_ng.Z_FINISH)
        self._collect(0)
        self.info.compress_size, self.info.header_offset = self._spool.tell(), end
        self._spool.seek(0)
        file.seek(end)
        file.write(self.info.FileHeader(zip64=True))
        shutil.copyfileobj(self._spool, file, BLOCK)
        self._spool.close()
        super().finish(file, end)
        return file.tell()

    def _compress(self, block: bytes, flush: int) -> None:
        self._waiting.append(self._threads.submit(_deflated, block, flush))
        self._collect(2 * available_cores())

    def _collect(self, most: int) -> None:
        while len(self._waiting) > most:
            self._spool.write(self._waiting.popleft().result())


def _deflated(block: bytes, flush: int) -> bytes:
    """A piece of a deflate stream that needs nothing of the pieces before it."""
    compress = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS)
    return compress.compress(block) + compress.flush(flush)


def _info(name: str, compressed: bool) -> zipfile.ZipInfo:
    """What a zip says of a file inside, without its sizes. Raises InvalidInput for a name that no zip holds."""
    if len(name.encode()) > 0xFFFF:
        raise InvalidInput(f"A zip has no name of {len(name):,} characters: {name[:60]}...")
    info = zipfile.ZipInfo(name, MADE)
    info.CRC = 0
    info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    info.create_system = 3  # as Unix does, on each system
    info.external_attr = 0o600 << 16
    return info


def _write_directory(file: IO[bytes], members: list[zipfile.ZipInfo]) -> None:
    """Add the directory of a zip behind the files that are there."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.filelist += members


@functools.lru_cache(maxsize=1024)
def _npy_header(array: NpzArray) -> bytes:
    header = io.BytesIO()
    facts = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    npy.write_array_header_1_0(header, facts)
    return header.getvalue()


def _size_of(array: NpzArray) -> int:
    return int(np.prod(array.shape, dtype=object)) * array.dtype.itemsize


def _bytes_of(rows: Shaped[np.ndarray, "n ..."]) -> memoryview | bytes:
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data if rows.size else b""


def _padding(offset: int) -> bytes:
    """An extra field by which what begins at `offset` begins at a multiple of `ALIGNMENT`."""
    size = -(offset + 4) % ALIGNMENT
    return struct.pack("<HH", PADDING, size) + bytes(size)
