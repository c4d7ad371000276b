"""The bytes of one chunk of a zarr array: checked, then decompressed to where they belong."""

from __future__ import annotations

import functools
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import UInt8

CRC_BYTES = 4

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def gives_its_crc(data: bytes) -> bool:
    """Whether the last four bytes are the CRC-32C of those before."""
    crc: int = google_crc32c.value(data[:-CRC_BYTES])
    return len(data) >= CRC_BYTES and crc == int.from_bytes(data[-CRC_BYTES:], "little")


def decompress(compressor: str, data: bytes, into: UInt8[np.ndarray, " bytes"]) -> None:
    """Decompress a chunk by `zstd` or `blosc`, or copy one that is not compressed, into a place of just its size.

    Raises ValueError or RuntimeError where the bytes are not those of a chunk of that size.
    """
    size = content_size(compressor, data)
    if size is None:  # a stream whose writer did not know how long it would become
        compressor, data = "", _codecs()[compressor].decompress(data)
        size = len(data)
    if size != len(into):
        raise ValueError(f"it becomes {size} bytes, {len(into)} are wanted")
    if compressor:
        _codecs()[compressor].decompress(data, into)
    else:
        into[:] = np.frombuffer(data, np.uint8)


def content_size(compressor: str, data: bytes) -> int | None:
    """Bytes that a chunk becomes, by its own header; None where that does not say.

    Sources: RFC 8878, 3.1.1.1; README_CHUNK_FORMAT.rst of c-blosc.
    """
    if compressor == "blosc":
        return int.from_bytes(data[4:8], "little")
    if not compressor:
        return len(data)
    if len(data) < 6 or data[:4] != ZSTD_MAGIC:
        raise ValueError("this is no Zstandard frame")
    single, size_bytes = data[4] >> 5 & 1, (0, 2, 4, 8)[data[4] >> 6]
    place = 5 + (1 - single) + (0, 1, 2, 4)[data[4] & 3]
    if not size_bytes:
        return data[place] if single else None
    return int.from_bytes(data[place : place + size_bytes], "little") + (256 if size_bytes == 2 else 0)


@functools.cache
def _codecs() -> dict[str, Any]:
    from numcodecs import blosc, zstd  # a tenth of a second that only who reads chunks waits for

    blosc.use_threads = False  # they do not come along into a forked process, and chunks are decoded side by side
    return {"zstd": zstd, "blosc": blosc}
