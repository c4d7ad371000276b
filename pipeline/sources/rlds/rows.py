"""The values of a feature as arrays, in the dtype and shape that features.json says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped

from pipeline.sources.rlds.example import ListKind, ValueList
from pipeline.sources.rlds.features import Encoding, Leaf, LeafKind
from pipeline.sources.rlds.packed import unpacked
from pipeline.sources.rlds.pictures import read_pictures
from pipeline.sources.rlds.wire import VARINT, MalformedRecord, from_varints

NOTHING = ValueList(ListKind.BYTES, memoryview(b""))
"""What a record says of a key that it lacks."""


def array_rows(leaf: Leaf, found: ValueList) -> Shaped[np.ndarray, "rows ..."]:
    """The rows of a tensor or picture. Raises MalformedRecord where the values do not fit what features.json says."""
    if leaf.kind == LeafKind.IMAGE:
        return read_pictures(_byte_strings(leaf, found), leaf)
    if leaf.encoding == Encoding.NONE:
        return _listed(leaf, found)
    size = leaf.numbers.itemsize * leaf.count
    if leaf.encoding == Encoding.ZLIB:
        rows = [_unpacked(each, size, leaf) for each in _byte_strings(leaf, found)]
        raw = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), size)
    else:
        _require_kind(leaf, found, ListKind.BYTES)
        raw = found.rows(size)
    if leaf.numbers == np.bool_ and raw.size and raw.max() > 1:
        raise MalformedRecord(f"{leaf.name} holds truth values other than 0 and 1")
    values = np.ascontiguousarray(raw).reshape(-1).view(leaf.numbers.newbyteorder("<"))
    return values.reshape(len(raw), *leaf.sizes).astype(leaf.numbers, copy=False)


def small_number(leaf: Leaf, found: ValueList) -> Num[np.ndarray, ""] | None:
    """One whole number of a byte, at once; None for anything else, which `array_rows` reads."""
    data = found.content
    is_whole = leaf.kind == LeafKind.TENSOR and leaf.encoding == Encoding.NONE and leaf.numbers.kind in "biu"
    if not is_whole or leaf.shape or found.kind != ListKind.WHOLE_NUMBERS:
        return None
    if len(data) != 3 or data[0] != 10 or data[1] != 1 or data[2] > (1 if leaf.numbers.kind == "b" else 127):
        return None
    return np.array(data[2], leaf.numbers)


def text_rows(leaf: Leaf, found: ValueList) -> list[str]:
    """The texts of a feature. Raises MalformedRecord where they are none."""
    try:
        return [bytes(each).decode() for each in _byte_strings(leaf, found)]
    except UnicodeDecodeError as error:
        raise MalformedRecord(f"{leaf.name} holds bytes that are no UTF-8: {error.reason}") from None


def _listed(leaf: Leaf, found: ValueList) -> Shaped[np.ndarray, "rows ..."]:
    values = _real(leaf, found) if leaf.numbers.kind == "f" else _whole(leaf, found)
    if not leaf.count:
        return values.reshape(0, *leaf.sizes)
    if len(values) % leaf.count:
        raise MalformedRecord(f"{leaf.name} has {len(values)} values, no multiple of {leaf.count}")
    return values.reshape(-1, *leaf.sizes) if leaf.sizes else values


def _real(leaf: Leaf, found: ValueList) -> Num[np.ndarray, " n"]:
    _require_kind(leaf, found, ListKind.REAL_NUMBERS)
    with np.errstate(over="ignore"):
        return found.real_numbers().astype(leaf.numbers, copy=False)


def _whole(leaf: Leaf, found: ValueList) -> Num[np.ndarray, " n"]:
    _require_kind(leaf, found, ListKind.WHOLE_NUMBERS)
    data = np.frombuffer(found.packed(VARINT), np.uint8)
    if not data.size or data.max() <= (leaf.numbers != np.bool_) * 126 + 1:  # of one byte each: nearly always
        return data.view(np.bool_) if leaf.numbers == np.bool_ else data.astype(leaf.numbers)
    values = from_varints(data)
    if leaf.numbers == np.uint64:
        return values.view(np.uint64)
    cast = values.astype(leaf.numbers)
    if (cast.astype(np.int64) != values).any():
        raise MalformedRecord(f"{leaf.name} holds numbers that are no {leaf.numbers}")
    return cast


def _byte_strings(leaf: Leaf, found: ValueList) -> Sequence[Any]:
    _require_kind(leaf, found, ListKind.BYTES)
    return found.byte_strings()


def _require_kind(leaf: Leaf, found: ValueList, wanted: ListKind) -> None:
    if found and found.kind != wanted:
        raise MalformedRecord(f"{leaf.name} should be {wanted}, it is {found.kind}")


def _unpacked(data: Any, size: int, leaf: Leaf) -> bytes:
    raw = unpacked(data, size)
    if raw is None:
        raise MalformedRecord(f"{leaf.name} should unpack to {size} bytes by zlib, and does not")
    return raw
