"""The values of a feature as arrays, in the dtype and shape that features.json says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.sources.rlds.example import ListKind, ValueList
from pipeline.sources.rlds.features import Encoding, Leaf, LeafKind
from pipeline.sources.rlds.packed import unpacked
from pipeline.sources.rlds.pictures import read_pictures
from pipeline.sources.rlds.wire import MalformedRecord

NOTHING = ValueList(ListKind.BYTES, [])
"""What a record says of a key that it lacks."""


def array_rows(leaf: Leaf, found: ValueList) -> Shaped[np.ndarray, "rows ..."]:
    """The rows of a tensor or picture. Raises MalformedRecord where the values do not fit what features.json says."""
    if leaf.kind == LeafKind.IMAGE:
        return read_pictures(_byte_strings(leaf, found), leaf)
    if leaf.encoding == Encoding.NONE:
        return _listed(leaf, found)
    dtype = np.dtype(leaf.dtype).newbyteorder("<")
    size = dtype.itemsize * _count(leaf)
    if leaf.encoding == Encoding.ZLIB:
        rows = [_unpacked(each, size, leaf) for each in _byte_strings(leaf, found)]
        raw = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), size)
    else:
        raw = _raw(leaf, found, size)
    values = np.ascontiguousarray(raw).reshape(-1).view(dtype).reshape(len(raw), *_sizes(leaf))
    if dtype == np.bool_ and raw.size and int(raw.max()) > 1:
        raise MalformedRecord(f"{leaf.name} holds truth values other than 0 and 1")
    return values.astype(dtype.newbyteorder("="), copy=False)


def text_rows(leaf: Leaf, found: ValueList) -> list[str]:
    """The texts of a feature. Raises MalformedRecord where they are none."""
    try:
        return [bytes(each).decode() for each in _byte_strings(leaf, found)]
    except UnicodeDecodeError as error:
        raise MalformedRecord(f"{leaf.name} holds bytes that are no UTF-8: {error.reason}") from None


def _listed(leaf: Leaf, found: ValueList) -> Shaped[np.ndarray, "rows ..."]:
    is_real = leaf.dtype == "bfloat16" or np.dtype(leaf.dtype).kind == "f"
    dtype = np.dtype(np.float32 if leaf.dtype == "bfloat16" else leaf.dtype)
    values = np.asarray(found.values) if len(found.values) else np.zeros(0, np.float32 if is_real else np.int64)
    wanted = ListKind.FLOATS if is_real else ListKind.INTEGERS
    if len(found.values) and found.kind != wanted:
        raise MalformedRecord(f"{leaf.name} should be {wanted}, it is {found.kind}")
    count = _count(leaf)
    if count and len(values) % count:
        raise MalformedRecord(f"{leaf.name} has {len(values)} values, no multiple of {count}")
    if dtype == np.uint64:
        cast = values.view(np.uint64)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            cast = values.astype(dtype)
        if not is_real and (cast.astype(np.int64) != values).any():
            raise MalformedRecord(f"{leaf.name} holds numbers that are no {dtype}")
    return cast.reshape(len(cast) // count if count else 0, *_sizes(leaf))


def _raw(leaf: Leaf, found: ValueList, size: int) -> Shaped[np.ndarray, "rows size"]:
    if isinstance(found.values, np.ndarray) and found.kind == ListKind.BYTES and found.values.shape[1] == size:
        return found.values
    for number, each in enumerate(_byte_strings(leaf, found)):
        if len(each) != size:
            raise MalformedRecord(f"{leaf.name} should have {size} bytes at each step, it has {len(each)} at {number}")
    return np.zeros((0, size), np.uint8)


def _byte_strings(leaf: Leaf, found: ValueList) -> Sequence[Any]:
    if found.kind != ListKind.BYTES:
        raise MalformedRecord(f"{leaf.name} should be {ListKind.BYTES}, it is {found.kind}")
    if isinstance(found.values, np.ndarray):
        return [row.data for row in found.values]
    return found.values


def _unpacked(data: Any, size: int, leaf: Leaf) -> bytes:
    raw = unpacked(data, size)
    if raw is None:
        raise MalformedRecord(f"{leaf.name} should unpack to {size} bytes by zlib, and does not")
    return raw


def _count(leaf: Leaf) -> int:
    """Values of one row."""
    return math.prod(_sizes(leaf))


def _sizes(leaf: Leaf) -> tuple[int, ...]:
    return tuple(size or 0 for size in leaf.shape)
