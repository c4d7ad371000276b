"""Reading an .npz in order: its arrays give their rows one after the other, whatever its size, and check their sums."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.machine.files import human_bytes, is_plain_file
from pipeline.machine.npy import read_npy_header
from pipeline.wording import first_line

SUFFIX = ".npy"
ZIP_ERRORS = (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What a damaged zip, or one that nobody can read here, raises."""

MOST_TEXT = 2**26
"""Bytes of the largest file inside that is read and no array."""

SKIPPED = 2**22
"""Bytes that are skipped at a time."""


class NpzRows:
    """The rows of one array of an .npz, read from the first to the last.

    Attributes:
        dtype: of the rows that are given, in the order of bytes of this machine.
        shape: of the whole array.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str, path: Path) -> None:
        self.name, self._path = name, path
        try:
            self._file: IO[bytes] = archive.open(f"{name}{SUFFIX}")
            self.shape, self._columns, self._stored = _header(self._file)
        except ZIP_ERRORS as error:
            raise self._damaged(error) from error
        self.dtype = self._stored.newbyteorder("=")
        if self._stored.hasobject:
            raise InvalidInput(f"{path}: {name} holds Python objects, which are code: they are not read.")
        size = archive.getinfo(f"{name}{SUFFIX}").file_size - self._file.tell()
        if size != int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize:
            header = f"{self._stored} of shape {self.shape}"
            raise InvalidInput(f"{path} is damaged: {name} should be {header}, and has {human_bytes(size)}.")
        self._whole: np.ndarray | None = None
        self._next = 0

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def is_by_column(self) -> bool:
        """Its rows do not lie together: the first one that is read takes all of it into memory."""
        return self._columns

    def read(self, count: int) -> Shaped[np.ndarray, "count ..."]:
        """The next rows. Raises InvalidInput where the file is damaged there."""
        start, self._next = self._next, self._next + count
        if self._columns:  # rows do not lie together
            if self._whole is None:
                flat = np.frombuffer(self._bytes(self.row_bytes * len(self)), self._stored)
                self._whole = flat.reshape(self.shape, order="F")
            rows = np.ascontiguousarray(self._whole[start : start + count])
        else:
            rows = np.frombuffer(self._bytes(self.row_bytes * count), self._stored)
        return rows.reshape(count, *self.shape[1:]).astype(self.dtype, copy=False)

    def skip(self, count: int) -> None:
        """Pass over the next rows."""
        if self._columns:
            self._next += count
            return
        left = self.row_bytes * count
        while left:
            left -= len(self._bytes(min(left, SKIPPED)))
        self._next += count

    def all(self) -> Shaped[np.ndarray, "..."]:
        """The whole array, where nothing was read of it yet."""
        return self.read(len(self)).reshape(self.shape)

    def _bytes(self, count: int) -> bytes:
        try:
            content = self._file.read(count)
        except ZIP_ERRORS as error:
            raise self._damaged(error) from error
        if len(content) != count:
            raise InvalidInput(f"{self._path} is damaged: {self.name} ends too early.")
        return content

    def _damaged(self, error: BaseException) -> InvalidInput:
        return InvalidInput(f"{self._path}: {self.name} cannot be read: {first_line(error)}")


class NpzReader(Mapping[str, NpzRows]):
    """The arrays of an .npz by name; each access reads from the array's beginning. Nothing in it is run.

    Raises InvalidInput where the file is no .npz.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not is_plain_file(path):
            raise InvalidInput(f"{path} is not there. Wanted: an .npz file.")
        try:
            self._archive = zipfile.ZipFile(path)
        except ZIP_ERRORS as error:
            raise InvalidInput(f"{path} cannot be read as an .npz file: {first_line(error)}") from error
        self._members = [info.filename for info in self._archive.infolist()]
        if len(set(self._members)) != len(self._members):
            twice = next(name for name in self._members if self._members.count(name) > 1)
            raise InvalidInput(f"{path} holds {twice} twice; one would hide the other.")

    def __enter__(self) -> NpzReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._archive.close()

    def __getitem__(self, name: str) -> NpzRows:
        if f"{name}{SUFFIX}" not in self._members:
            raise KeyError(name)
        return NpzRows(self._archive, name, self.path)

    def __iter__(self) -> Iterator[str]:
        return (name.removesuffix(SUFFIX) for name in self._members if name.endswith(SUFFIX))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def file(self, name: str) -> bytes | None:
        """The content of a file inside that is no array; None where it is not there."""
        if name not in self._members:
            return None
        try:
            if (size := self._archive.getinfo(name).file_size) > MOST_TEXT:
                most = human_bytes(MOST_TEXT)
                raise InvalidInput(
                    f"{self.path} cannot be read: {name} in it has {human_bytes(size)}, more than {most}."
                )
            return self._archive.read(name)
        except ZIP_ERRORS as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"{self.path}: {name} cannot be read: {first_line(error)}") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns lie together instead of rows, and dtype. Raises ValueError."""
    shape, columns, dtype = read_npy_header(file)
    if any(each < 0 for each in shape) or dtype.fields or dtype.subdtype:
        raise ValueError(f"{dtype} of shape {shape}, which is no array of numbers")
    return shape, columns and len(shape) > 1, dtype
