"""Reads a tf.train.Example: the lists of numbers, real numbers or bytes that stand in it under their keys.

    message Example { Features features = 1; }        message BytesList { repeated bytes value = 1; }
    message Features { map<string, Feature> feature = 1; }    message FloatList { repeated float value = 1; }
    message Feature { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }    message Int64List ...

Lists of numbers, and bytes that are all of one length, are read as arrays, without a loop over their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Shaped

from pipeline.sources.rlds.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    MalformedRecord,
    from_varints,
    read_varint,
)

WireField = tuple[int, int, memoryview]
"""A field: its number, its wire type and its value."""

_SIZES = {FIXED64: 8, FIXED32: 4}


class ListKind(StrEnum):
    """What a feature is a list of."""

    BYTES = "bytes"
    FLOATS = "floats"
    INTEGERS = "integers"


_KINDS = {1: ListKind.BYTES, 2: ListKind.FLOATS, 3: ListKind.INTEGERS}


@dataclass(frozen=True)
class ValueList:
    """The values of one feature.

    Attributes:
        kind: what they are.
        values: (n,) float32, (n,) int64, or of bytes (n, length) uint8 where all have one length, else a list.
    """

    kind: ListKind
    values: Shaped[np.ndarray, "n ..."] | Sequence[memoryview]


def read_example(record: bytes) -> dict[str, ValueList]:
    """The features by key. Raises MalformedRecord for bytes that are no Example."""
    found: dict[str, ValueList] = {}
    for _, _, features in _fields(memoryview(record), 1):
        for _, _, entry in _fields(features, 1):
            key, value = b"", memoryview(b"")
            for number, _, content in _all_fields(entry):
                if number == 1:
                    key = bytes(content)
                elif number == 2:
                    value = content
            try:
                found[key.decode()] = _value_list(value)
            except UnicodeDecodeError:
                raise MalformedRecord(f"a key is no text: {key[:40]!r}") from None
    return found


def _value_list(feature: memoryview) -> ValueList:
    found = ValueList(ListKind.BYTES, [])
    for number, wire, content in _all_fields(feature):
        if number in _KINDS and wire == LENGTH:
            kind = _KINDS[number]
            found = ValueList(kind, _READERS[kind](content))
    return found


def _byte_strings(data: memoryview) -> Shaped[np.ndarray, "n length"] | Sequence[memoryview]:
    rows = _of_one_length(data)
    return [content for _, _, content in _fields(data, 1)] if rows is None else rows


def _of_one_length(data: memoryview) -> Shaped[np.ndarray, "n length"] | None:
    """Bytes that all have the length of the first: one array, without looking at each."""
    if len(data) < 2:
        return None
    length, start = read_varint(data, 1)
    stride = start + length
    if len(data) % stride:
        return None
    rows = np.frombuffer(data, np.uint8).reshape(-1, stride)
    head = rows[0, :start]
    return rows[:, start:] if head[0] == 10 and (rows[:, :start] == head).all() else None


def _floats(data: memoryview) -> Shaped[np.ndarray, " n"]:
    pieces = [content for _, _, content in _fields(data, 1, packed=FIXED32)]
    if bad := [len(piece) for piece in pieces if len(piece) % 4]:
        raise MalformedRecord(f"a list of real numbers has {bad[0]} bytes")
    return np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), "<f4")


def _integers(data: memoryview) -> Shaped[np.ndarray, " n"]:
    pieces = [content for _, _, content in _fields(data, 1, packed=VARINT)]
    return from_varints(np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), np.uint8))


_READERS = {ListKind.BYTES: _byte_strings, ListKind.FLOATS: _floats, ListKind.INTEGERS: _integers}


def _fields(data: memoryview, wanted: int, packed: int = LENGTH) -> Iterator[WireField]:
    """The fields of one number that have a length, or are of the wire type of its single values."""
    for number, wire, content in _all_fields(data):
        if number == wanted and wire in (LENGTH, packed):
            yield number, wire, content


def _all_fields(data: memoryview) -> Iterator[WireField]:
    """Every field of a message. Raises MalformedRecord where one reaches beyond its end."""
    position = 0
    while position < len(data):
        key, start = read_varint(data, position)
        wire = key & 7
        if wire == VARINT:
            _, end = read_varint(data, start)
        elif wire == LENGTH:
            length, start = read_varint(data, start)
            end = start + length
        elif wire in _SIZES:
            end = start + _SIZES[wire]
        else:
            raise MalformedRecord(f"the field at byte {position} is of the unknown wire type {wire}")
        if end > len(data):
            raise MalformedRecord(f"the field at byte {position} reaches beyond the end")
        yield key >> 3, wire, data[start:end]
        position = end
