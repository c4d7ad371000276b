"""The bytes of one chunk of a zarr array: checked, then decompressed to where they belong."""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import UInt8

CRC_BYTES = 4


def gives_its_crc(data: bytes) -> bool:
    """Whether the last four bytes are the CRC-32C of those before."""
    crc: int = google_crc32c.value(data[:-CRC_BYTES])
    return len(data) >= CRC_BYTES and crc == int.from_bytes(data[-CRC_BYTES:], "little")


def decompress(compressor: str, data: bytes, into: UInt8[np.ndarray, " bytes"]) -> None:
    """Decompress a chunk by `zstd` or `blosc`, or copy one that is not compressed, into a place of just its size.

    Raises ValueError or RuntimeError where the bytes are not those of a chunk of that size.
    """
    if compressor == "zstd" and zstd_functions():
        size = _own.decoder.decompress(data, into)
    else:
        raw = codecs()[compressor].decompress(data) if compressor else data
        if (size := len(raw)) == len(into):
            into[:] = np.frombuffer(raw, np.uint8)
    if size != len(into):
        raise ValueError(f"it becomes {size} bytes, {len(into)} are wanted")


class ZstdDecoder:
    """What a thread decompresses with, again and again: making a new one takes as long as decompressing frames."""

    def __init__(self) -> None:
        self._functions = zstd_functions()
        self._context = self._functions.ZSTD_createDCtx()
        if not self._context:
            raise MemoryError("Zstandard got no memory")

    def __del__(self) -> None:
        self._functions.ZSTD_freeDCtx(self._context)

    def decompress(self, data: bytes, into: UInt8[np.ndarray, " bytes"]) -> int:
        """Bytes that were written. Raises ValueError for what is no whole chunk, or becomes more than there is room."""
        size: int = self._functions.ZSTD_decompressDCtx(self._context, into.ctypes.data, len(into), data, len(data))
        if size != len(into) and self._functions.ZSTD_isError(size):
            raise ValueError(self._functions.ZSTD_getErrorName(size).decode())
        return size


class _Own(threading.local):
    """The decoder of each thread."""

    @functools.cached_property
    def decoder(self) -> ZstdDecoder:
        return ZstdDecoder()


_own = _Own()


@functools.cache
def zstd_functions() -> Any:
    """Zstandard's own functions, from the library that numcodecs brings; None where it does not show them.

    numcodecs makes a new context for each chunk. Source: zstd.h.
    """
    try:
        library = ctypes.CDLL(codecs()["zstd"].__file__)
        library.ZSTD_createDCtx.restype = ctypes.c_void_p
        library.ZSTD_freeDCtx.argtypes = (ctypes.c_void_p,)
        library.ZSTD_decompressDCtx.argtypes = (
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_char_p, ctypes.c_size_t),
        )
        library.ZSTD_decompressDCtx.restype = ctypes.c_size_t
        library.ZSTD_isError.argtypes = library.ZSTD_getErrorName.argtypes = (ctypes.c_size_t,)
        library.ZSTD_getErrorName.restype = ctypes.c_char_p
    except (AttributeError, OSError):
        return None
    return library


@functools.cache
def codecs() -> dict[str, Any]:
    """The modules of numcodecs; they take a tenth of a second that only who reads chunks waits for."""
    from numcodecs import blosc, zstd

    blosc.use_threads = False  # they do not come along into a forked process, and chunks are decoded side by side
    return {"zstd": zstd, "blosc": blosc}
