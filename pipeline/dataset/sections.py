"""One file of several arrays that are mapped into memory: opened in the time that reading a header takes."""

from __future__ import annotations

import json
import mmap
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from blake3 import blake3
from jaxtyping import Shaped

MAGIC = b"repertoire arrays 1\n".ljust(32)
ALIGNED = 64
"""Bytes; each array begins at a multiple of them."""

SectionArrays = dict[str, Shaped[np.ndarray, "..."]]


class Sections(NamedTuple):
    """What such a file holds.

    Attributes:
        values: JSON.
        arrays: by name; they lie in a memory map, and nobody can write to them.
    """

    values: Mapping[str, Any]
    arrays: SectionArrays


def write_sections(path: Path, values: Mapping[str, Any], checked: SectionArrays, later: SectionArrays) -> None:
    """Write the file; it appears in one step. The arrays `later` have no checksum: their reader has one for each piece.

    Nothing is flushed: what a power cut tears gives another checksum.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in {**checked, **later}.items()}
    table: dict[str, Any] = {}
    size = content = 0
    for name, array in arrays.items():
        table[name] = [size, array.dtype.str, list(array.shape)]
        size += _padded(array.nbytes)
        content = size if name in checked else content
    hasher = blake3(max_threads=blake3.AUTO)
    for name in checked:
        hasher.update(_bytes(arrays[name]))
    header = {"values": values, "arrays": table, "bytes": size, "checked": list(checked), "blake3": hasher.hexdigest()}
    text = json.dumps(header).encode()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(MAGIC + len(text).to_bytes(8, "little") + blake3(text).digest(24))
            file.write(text.ljust(_padded(len(text))))
            for array in arrays.values():
                _write(file, array)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_sections(path: Path) -> Sections | None:
    """What the file holds; None where there is none, or it is not whole. Raises OSError as Python's own files do."""
    try:
        with path.open("rb") as file:
            if not (size := os.fstat(file.fileno()).st_size):
                return None
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        return None
    if size < ALIGNED or mapped[: len(MAGIC)] != MAGIC:
        return None
    length = int.from_bytes(mapped[32:40], "little")
    text = mapped[ALIGNED : ALIGNED + length]
    if len(text) != length or blake3(text).digest(24) != mapped[40:64]:
        return None
    header = json.loads(text)
    start = ALIGNED + _padded(length)
    if size != start + header["bytes"]:
        return None
    arrays = {
        name: _mapped(mapped, start + place, dtype, shape) for name, (place, dtype, shape) in header["arrays"].items()
    }
    hasher = blake3(max_threads=blake3.AUTO)
    for name in header["checked"]:
        hasher.update(_bytes(arrays[name]))
    return Sections(header["values"], arrays) if hasher.hexdigest() == header["blake3"] else None


def _mapped(mapped: mmap.mmap, place: int, dtype: str, shape: list[int]) -> Shaped[np.ndarray, "..."]:
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(mapped, np.dtype(dtype), count, place if count else 0).reshape(shape)


def _bytes(array: Shaped[np.ndarray, "..."]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _write(file: BinaryIO, array: Shaped[np.ndarray, "..."]) -> None:
    file.write(_bytes(array))
    file.write(bytes(_padded(array.nbytes) - array.nbytes))


def _padded(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
