"""Files in memory without an open file each: tens of thousands of them at a time."""

from __future__ import annotations

import ctypes
import functools
import math
import os
from typing import Any

import numpy as np

from pipeline.errors import DamagedArtifact

PROT_READ, MAP_SHARED, MADV_WILLNEED = 1, 1, 3
"""The same on Linux and macOS."""

FAILED = ctypes.c_void_p(-1).value


class MappedRows:
    """One bin array as a whole, mapped for reading until nobody holds this object.

    Python's own `mmap` keeps a descriptor open, of which a process may have a thousand.

    Attributes:
        address: of its first row; 0 where it has no bytes.

    Raises DamagedArtifact where the file is missing or has another size.
    """

    def __init__(self, path: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype, self.address = shape, dtype, 0
        self._size = math.prod(shape) * dtype.itemsize
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise DamagedArtifact(f"{path} should have {self._size} bytes, but the file is missing.") from error
        try:
            if (have := os.fstat(file).st_size) != self._size:
                raise DamagedArtifact(f"{path} should have {self._size} bytes, but it has {have} bytes.")
            if self._size:
                self.address = _mapped(file, self._size)
        finally:
            os.close(file)

    def __del__(self) -> None:
        if self.address:
            _library().munmap(self.address, self._size)


class MappedBytes:
    """The first bytes of an open file, mapped for reading until no array refers to them: `np.asarray` makes one.

    The file may be closed then. Raises OSError where the system allows no more maps.
    """

    def __init__(self, file: int, size: int) -> None:
        self._address, self._size = _mapped(file, size), size
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (size,), "data": (self._address, True)}

    def __del__(self) -> None:
        if hasattr(self, "_address"):
            _library().munmap(self._address, self._size)


def _mapped(file: int, size: int) -> int:
    address: int = _library().mmap(None, size, PROT_READ, MAP_SHARED, file, 0)
    if address == FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return address


def will_need_memory(begin: int, size: int) -> None:
    """Have the system read mapped pages, without waiting for it. It is advice: what it comes to is not asked."""
    _library().madvise(begin, size, MADV_WILLNEED)


@functools.cache
def _library() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_longlong)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return library
