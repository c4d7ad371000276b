"""The files of a checkpoint: one gzip stream holding one `.npy` array, read forwards and checked to its last byte."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Shaped
from zlib_ng import gzip_ng, zlib_ng

from pipeline.errors import InvalidInput
from pipeline.wording import first_line

FRAME = (84, 84)
"""Height and width of a grey frame."""

AGAIN = "Remove the file and run again to download it again, or look at where it was copied from."
SKIPPED_ROWS = 512
"""Rows that are decoded at once only to come to those after them."""

MOST_ROWS = 10_000_000
"""Ten times what a checkpoint has: the small files are read whole, and a header can promise anything."""

HEADER_BYTES, MOST_AXES = 10_000, 64
LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
"""Versions of numpy's format -> bytes of the header's length."""

_ONE_HEADER = threading.Lock()
"""numpy reads headers with `ast.literal_eval`, which before Python 3.12 can fail in threads (CPython issue 106905)."""

DAMAGED: Any = (EOFError, OSError, zlib_ng.error, ValueError)
"""What the decoder and numpy's header reader raise for files that are no whole gzip stream of an array."""


class LoggedArray:
    """The rows of one array, decoded straight into the caller's memory; a context manager.

    Attributes:
        rows: length of the leading axis.

    Raises InvalidInput where the stream is damaged, or the array is of another dtype or shape.
    """

    def __init__(self, path: Path, dtype: Any, row_shape: tuple[int, ...]) -> None:
        self.path, self._dtype, self._row_shape = path, np.dtype(dtype), row_shape
        self._at = 0
        with naming(path):
            self._file = gzip_ng.GzipNGFile(path, "rb")
            # the file's own `readinto` makes a copy; the reader inside, which all versions so far have, does not
            self._decoder = getattr(self._file, "_buffer", self._file)
            try:
                shape = _checked_shape(path, self._file, self._dtype, row_shape)
            except BaseException:
                self._file.close()
                raise
        self.rows = shape[0]

    def __enter__(self) -> LoggedArray:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def expect(self, rows: int, other: Path) -> None:
        """Raises InvalidInput unless the array has so many rows as the `other` file of its checkpoint."""
        if self.rows != rows:
            raise InvalidInput(
                f"{self.path} holds {self.rows:,} rows and {other.name} {rows:,}; the files of a checkpoint have "
                f"equally many. One of them is of another log, or damaged: remove it and run again, or copy both again."
            )

    def read_into(self, out: Shaped[np.ndarray, "n ..."]) -> None:
        """Fill `out` (n, *row_shape), contiguous, with the next n rows."""
        if len(out) == 0:
            return
        with naming(self.path):
            wanted = out.reshape(-1).view(np.uint8).data
            while len(wanted):
                got = self._decoder.readinto(wanted)
                if not got:
                    raise EOFError(f"it ends in row {self._at} of {self.rows} that its header promises")
                wanted = wanted[got:]
        self._at += len(out)

    def go_to(self, row: int) -> None:
        """Decode and forget the rows before `row`."""
        scratch = np.empty((min(SKIPPED_ROWS, row - self._at), *self._row_shape), self._dtype)
        while self._at < row:
            self.read_into(scratch[: row - self._at])

    def finish(self) -> None:
        """Come to the end of the stream, where its checksum is, and see that nothing follows."""
        self.go_to(self.rows)
        with naming(self.path):
            if self._file.read(1):
                raise ValueError(f"more bytes follow the {self.rows} rows that its header promises")


def read_whole(path: Path, dtype: Any, like: tuple[int, Path] | None = None) -> Shaped[np.ndarray, "rows"]:
    """A small array of (rows,) as a whole; `like`: how many there must be, and in which file there are as many."""
    with LoggedArray(path, dtype, ()) as stream:
        if like is not None:
            stream.expect(*like)
        out = np.empty(stream.rows, dtype)
        stream.read_into(out)
        stream.finish()
    return out


def read_number(path: Path) -> int:
    """The one integer of an `add_count` file."""
    with naming(path), gzip_ng.GzipNGFile(path, "rb") as file:
        shape, _, dtype = _header(path, file)
        if shape not in ((), (1,)) or dtype.kind not in "iu":
            raise InvalidInput(f"{path} must hold one integer; it holds {dtype} {list(shape)}. {AGAIN}")
        data = file.read(dtype.itemsize + 1)  # a small file may unpack to gigabytes
        if len(data) != dtype.itemsize:
            there = "more" if len(data) > dtype.itemsize else f"{len(data)}"
            raise ValueError(f"{there} bytes follow its header instead of {dtype.itemsize}")
        number = int(np.frombuffer(data, dtype)[0])
    if number < 0:
        raise InvalidInput(f"{path} must hold a count; it holds {number}. {AGAIN}")
    return number


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns what the libraries raise for a damaged file into an InvalidInput that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file {path}. Run the same command again to download it.") from error
    except InvalidInput:
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidInput(f"{path} is no whole gzip file of one array: {str(error).strip()}. {AGAIN}") from error


def _checked_shape(path: Path, file: Any, dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> tuple[int, ...]:
    shape, fortran, found = _header(path, file)
    if found != dtype or shape[1:] != row_shape or not shape or (fortran and len(shape) > 1):
        order = " in Fortran order" if fortran and len(shape) > 1 else ""
        raise InvalidInput(
            f"{path} must hold {dtype} of shape {['rows', *row_shape]}, it holds {str(found)[:60]} "
            f"{list(shape)}{order}. It is no file of the DQN Replay Dataset; {AGAIN[0].lower()}{AGAIN[1:]}"
        )
    if shape[0] > MOST_ROWS:
        raise InvalidInput(
            f"{path} promises {shape[0]:,} rows; a checkpoint of the dataset has 1,000,000, and of more than "
            f"{MOST_ROWS:,} none is read. {AGAIN}"
        )
    return shape


def _header(path: Path, file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype of the array; the stream then stands at its first byte."""
    version = np.lib.format.read_magic(file)
    if version not in LENGTH_BYTES:
        raise ValueError(f"its array is of version {version} of numpy's format, which nobody has written")
    length = file.read(LENGTH_BYTES[version])
    if int.from_bytes(length, "little") > HEADER_BYTES:  # it may claim gigabytes, and bring them
        raise ValueError(f"its header is longer than {HEADER_BYTES} bytes")
    text = io.BytesIO(length + file.read(int.from_bytes(length, "little")))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        with _ONE_HEADER:
            shape, fortran, dtype = read(text)
    except Exception as error:  # numpy evaluates the header, and raises whatever it comes upon
        raise ValueError(f"its header cannot be read: {first_line(error)}") from error
    if dtype.hasobject:
        raise InvalidInput(f"{path} holds pickled objects, which would run code when loaded. It is refused. {AGAIN}")
    if len(shape) > MOST_AXES or any(type(size) is not int or not 0 <= size < 2**63 for size in shape):
        raise ValueError(f"its header gives a shape that no array has: {str(shape)[:60]}")
    return shape, fortran, dtype
