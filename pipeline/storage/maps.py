"""Files in memory without an open file each: tens of thousands of them at a time."""

from __future__ import annotations

import ctypes
import functools
import math
import os
from pathlib import Path
from typing import Any

from pipeline.errors import DamagedArtifact
from pipeline.storage.bin import bin_array

PROT_READ, MAP_SHARED = 1, 1
"""The same on Linux and macOS."""

FAILED = ctypes.c_void_p(-1).value


class MappedFile:
    """A whole file, mapped for reading until nobody holds this object. Python's own `mmap` keeps a descriptor open.

    Attributes:
        address: where it begins; 0 for an empty one.

    Raises DamagedArtifact where the file is missing or has another size than `size`.
    """

    def __init__(self, path: str | Path, size: int) -> None:
        self.address, self._size = 0, size
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise DamagedArtifact(f"{path} should have {size} bytes, but the file is missing.") from error
        try:
            if (have := os.fstat(file).st_size) != size:
                raise DamagedArtifact(f"{path} should have {size} bytes, but it has {have} bytes.")
            if size:
                self.address = _mapped(file, size)
        finally:
            os.close(file)

    def __del__(self) -> None:
        if self.address:
            _library().munmap(self.address, self._size)


class MappedRows:
    """One bin array, mapped as a whole.

    Attributes:
        address: of its first row.
    """

    def __init__(self, folder: Path, name: str) -> None:
        array = bin_array(folder, name)
        self.shape, self.dtype, self.path = array.shape, array.dtype, f"{folder}/{name}.bin"
        self._file = MappedFile(self.path, math.prod(self.shape) * self.dtype.itemsize)
        self.address = self._file.address

    def __len__(self) -> int:
        return self.shape[0]


def _mapped(file: int, size: int) -> int:
    address: int = _library().mmap(None, size, PROT_READ, MAP_SHARED, file, 0)
    if address == FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return address


@functools.cache
def _library() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_longlong)
    library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return library
