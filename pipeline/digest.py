"""What content is, apart from how it is stored: BLAKE3 over names, dtypes, shapes and bytes of arrays."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from jaxtyping import Shaped

DIGEST_BYTES = 32

SMALL_BYTES = 2**16

LONGEST_HEADER = 2**13
"""Bytes of a name, a dtype and a shape; `pipeline.keys` makes names of at most 1,000 characters."""


class ArrayDigest:
    """BLAKE3 of one array that arrives in blocks of its leading axis.

    The final shape must be known at the start, because it is hashed before the first byte.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._hasher = blake3(_header(name, dtype, shape))

    def update(self, block: Shaped[np.ndarray, "rows ..."]) -> None:
        self._hasher.update(_bytes(block))

    def digest(self) -> bytes:
        return self._hasher.digest()


def digest_arrays(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> bytes:
    """BLAKE3 over name, dtype, shape and bytes of the arrays in name order: the same for every storage."""
    return digest_content(content_of(arrays))


def content_of(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> list[bytes | memoryview]:
    """What `digest_arrays` digests, in pieces: all that the arrays are, as `arrays_in` reads it back."""
    pieces: list[bytes | memoryview] = []
    for name in sorted(arrays):
        array = arrays[name]
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        pieces.append(_header(name, array.dtype, array.shape))
        pieces.append(array.tobytes() if array.nbytes < SMALL_BYTES else _bytes(array))
    return pieces


def digest_content(pieces: Sequence[bytes | memoryview]) -> bytes:
    """BLAKE3 of the pieces one after the other."""
    if len(pieces) == 1:
        return blake3(pieces[0]).digest()
    if set(map(type, pieces)) == {bytes}:  # of most episodes
        return blake3(b"".join(pieces)).digest()
    hasher = blake3()
    for short, run in groupby(pieces, lambda piece: type(piece) is bytes):
        if short:  # one call takes a tenth of the time of many
            hasher.update(b"".join(run))
        else:
            for piece in run:
                hasher.update(piece)
    return hasher.digest()


def arrays_in(content: bytes) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of joined `content_of`, by name; they are views of it. Raises ValueError where it is damaged."""
    arrays, at = {}, 0
    while at < len(content):
        name, dtype, shape, _ = content[at : at + LONGEST_HEADER].split(b"\0", 3)
        at += len(name) + len(dtype) + len(shape) + 3
        row = [int(axis) for axis in shape.split(b",") if axis]
        array = np.frombuffer(content, dtype.decode(), math.prod(row), at).reshape(row)
        arrays[name.decode()] = array
        at += array.nbytes
    return arrays


def combine(digests: Iterable[bytes]) -> str:
    """The digest of a list of digests, as hexadecimal text: n episodes, or the arrays of an artifact in name order."""
    hasher = blake3()
    for digest in digests:
        hasher.update(digest)
    return hasher.hexdigest()


def digest_file(path: Path) -> str:
    """BLAKE3 of a file's bytes, as hexadecimal text; a long one is mapped into memory, so memory stays flat."""
    with path.open("rb") as file:
        begin = file.read(SMALL_BYTES)
    if len(begin) < SMALL_BYTES:  # to map it would take as long again
        return blake3(begin).hexdigest()
    return blake3().update_mmap(path).hexdigest()


def digest_source(module: str) -> str | None:
    """BLAKE3 of a module's source file, as hexadecimal text; None for a module that has none. Imports it."""
    path = getattr(import_module(module), "__file__", None)
    return digest_file(Path(path)) if path and Path(path).is_file() else None


def short_hash(text: str) -> str:
    """Twelve hexadecimal characters of SHA-256: enough for the versions of one task, short enough for a path."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(maxsize=4096)  # the same few come with every episode
def _header(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    return f"{name}\0{_dtype_on_disk(dtype)}\0{','.join(map(str, shape))}\0".encode()


@cache
def _dtype_on_disk(dtype: np.dtype[Any]) -> str:
    """Little endian is the order on disk; "<f8" and native "float64" must hash alike."""
    return np.dtype(dtype).newbyteorder("<").str


def _bytes(array: Shaped[np.ndarray, "..."]) -> memoryview | bytes:
    contiguous = np.ascontiguousarray(array)
    return contiguous.reshape(-1).view(np.uint8).data if contiguous.size else b""
