"""Bytes that zlib packed, never more of them than there should be."""

from __future__ import annotations

from typing import Any

from isal import isal_zlib


def unpacked(data: Any, size: int) -> bytes | None:
    """The `size` bytes; None where these unpack to another number, or were not packed by zlib."""
    unpack = isal_zlib.decompressobj()
    try:
        raw = unpack.decompress(data, size + 1)
    except isal_zlib.IsalError:  # type: ignore[misc]  # its stub takes the class for an instance
        return None
    return raw if len(raw) == size and unpack.eof else None
