"""Reads a tf.train.Example: the lists of numbers, real numbers or bytes that stand in it under their keys.

    message Example { Features features = 1; }        message BytesList { repeated bytes value = 1; }
    message Features { map<string, Feature> feature = 1; }    message FloatList { repeated float value = 1; }
    message Feature { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }    message Int64List ...

Lists of numbers, and bytes that are all of one length, become arrays without a loop over their values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from pipeline.sources.rlds.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    MalformedRecord,
    from_varints,
    read_varint,
    tag,
    varint,
)

FIRST, SECOND = tag(1)[0], tag(2)[0]
"""What stands before a field of the number 1 or 2 that has a length."""

_SIZES = {FIXED64: 8, FIXED32: 4}


class ListKind(IntEnum):
    """What a feature is a list of: the number of its field."""

    BYTES = 1
    REAL_NUMBERS = 2
    WHOLE_NUMBERS = 3

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


_KINDS = {tag(kind)[0]: kind for kind in ListKind}


@dataclass(frozen=True)
class ValueList:
    """The values of one feature, as they lie in the record until they are asked for.

    Attributes:
        kind: what they are.
        content: the message of the list.
    """

    kind: ListKind
    content: memoryview

    def real_numbers(self) -> Float32[np.ndarray, " n"]:
        """The values. Raises MalformedRecord where they do not end where the list does."""
        packed = self.packed(FIXED32)
        if len(packed) % 4:
            raise MalformedRecord(f"a list of real numbers has {len(packed)} bytes")
        return np.frombuffer(packed, "<f4")

    def whole_numbers(self) -> Int64[np.ndarray, " n"]:
        """The values. Raises MalformedRecord as `from_varints`."""
        return from_varints(np.frombuffer(self.packed(VARINT), np.uint8))

    def packed(self, wire: int) -> bytes | memoryview:
        """Numbers one after the other, however they are stored; `wire` is the type of a single one."""
        length, start = read_varint(self.content, 1) if len(self.content) > 1 else (0, 0)
        if length and self.content[0] == FIRST and start + length == len(self.content):
            return self.content[start:]
        pieces = [content for number, kind, content in _fields(self.content) if number == 1 and kind in (LENGTH, wire)]
        return b"".join(pieces)

    def rows(self, size: int) -> UInt8[np.ndarray, "n size"]:
        """Byte strings of one length, none of which is looked at. Raises MalformedRecord for others."""
        head = np.frombuffer(tag(1) + varint(size), np.uint8)
        stride = len(head) + size
        if len(self.content) % stride == 0:
            found = np.frombuffer(self.content, np.uint8).reshape(-1, stride)
            if (found[:, : len(head)] == head).all():
                return found[:, len(head) :]
        wrong = [(number, len(each)) for number, each in enumerate(self.byte_strings()) if len(each) != size]
        number, length = wrong[0] if wrong else (0, 0)
        raise MalformedRecord(f"each value should have {size} bytes; number {number} has {length}")

    def byte_strings(self) -> list[memoryview]:
        """The values."""
        return [content for number, kind, content in _fields(self.content) if number == 1 and kind == LENGTH]

    def __bool__(self) -> bool:
        return len(self.content) > 0


def read_example(record: bytes) -> dict[str, ValueList]:
    """The features by key. Raises MalformedRecord for bytes that are no Example."""
    found: dict[str, ValueList] = {}
    view = memoryview(record)
    for number, wire, features in _fields(view):
        if number != 1 or wire != LENGTH:
            continue
        position = 0
        while position < len(features):
            key, kind, start, end = _plain_entry(features, position)
            if end:
                found[key.decode()] = ValueList(kind, features[start:end])
            else:
                end = _other_entry(features, position, found)
            position = end
    return found


def _plain_entry(data: memoryview, position: int) -> tuple[bytes, ListKind, int, int]:
    """An entry as protocol buffers write it: key, what is listed, and where that begins and ends; 0: it is another."""
    nothing = b"", ListKind.BYTES, 0, 0
    try:
        if data[position] != FIRST:
            return nothing
        length, position = _read(data, position + 1)
        end = position + length
        if data[position] != FIRST:
            return nothing
        length, position = _read(data, position + 1)
        key, position = bytes(data[position : position + length]), position + length
        if data[position] != SECOND:
            return nothing
        length, position = _read(data, position + 1)
        kind = _KINDS.get(data[position])
        size, start = _read(data, position + 1)
    except IndexError:
        return nothing
    if kind is None or not position + length == start + size == end <= len(data) or not key.isascii():
        return nothing
    return key, kind, start, end


def _read(data: memoryview, position: int) -> tuple[int, int]:
    """As `read_varint`, at once for short numbers."""
    number = data[position]
    return (number, position + 1) if number < 0x80 else read_varint(data, position)


def _other_entry(data: memoryview, position: int, found: dict[str, ValueList]) -> int:
    """Take in an entry in any order of its fields, and say where it ends."""
    ((number, wire, entry), end) = _field(data, position)
    if number != 1 or wire != LENGTH:
        return end
    key, feature = b"", memoryview(b"")
    for number, _, content in _fields(entry):
        if number == 1:
            key = bytes(content)
        elif number == 2:
            feature = content
    values = ValueList(ListKind.BYTES, memoryview(b""))
    for number, wire, content in _fields(feature):
        if wire == LENGTH and number in (1, 2, 3):
            values = ValueList(ListKind(number), content)
    try:
        found[key.decode()] = values
    except UnicodeDecodeError:
        raise MalformedRecord(f"a key is no text: {key[:40]!r}") from None
    return end


WireField = tuple[int, int, memoryview]
"""A field: its number, its wire type and its value."""


def _fields(data: memoryview) -> Iterator[WireField]:
    """Every field of a message. Raises MalformedRecord where one reaches beyond its end."""
    position = 0
    while position < len(data):
        field, position = _field(data, position)
        yield field


def _field(data: memoryview, position: int) -> tuple[WireField, int]:
    """The field at a position, and where it ends."""
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
    return (key >> 3, wire, data[start:end]), end
