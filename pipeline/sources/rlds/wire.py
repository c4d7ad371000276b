"""Numbers as protocol buffers write them: seven bits a byte, lowest first; all but a number's last byte are marked.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8

LONGEST = 10
"""Bytes of a number of 64 bits."""

BITS = 7
MORE = 0x80
"""The mark of a byte that others follow."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types: how the value of a field ends."""


class MalformedRecord(ValueError):
    """Bytes that are no tf.train.Example; the message says why."""


def tag(field: int, wire: int = LENGTH) -> bytes:
    """What stands before the value of a field."""
    return varint(field << 3 | wire)


def varint(number: int) -> bytes:
    """One number from 0 on.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while number >= MORE:
        out.append(number & (MORE - 1) | MORE)
        number >>= BITS
    out.append(number)
    return bytes(out)


def varints(numbers: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, " m"]:
    """Numbers one after the other; a negative one takes ten bytes."""
    unsigned = numbers.view(np.uint64)
    if not numbers.size or unsigned.max() < MORE:
        return unsigned.astype(np.uint8)
    lengths = np.ones(numbers.size, np.int64)
    for place in range(1, LONGEST):
        lengths += unsigned >= np.uint64(1 << BITS * place)
    ends = np.cumsum(lengths)
    starts, out = ends - lengths, np.empty(ends[-1], np.uint8)
    for place in range(int(lengths.max())):
        longer = lengths > place
        bits = (unsigned[longer] >> np.uint64(BITS * place)).astype(np.uint8) & np.uint8(MORE - 1)
        out[starts[longer] + place] = bits | (lengths[longer] > place + 1).astype(np.uint8) << 7
    return out


def from_varints(data: UInt8[np.ndarray, " m"]) -> Int64[np.ndarray, " n"]:
    """The numbers of `varints`. Raises MalformedRecord where the last one has no end, or one is too long."""
    if data.size <= LONGEST:
        return _few(data.data)
    is_last = data < MORE
    if is_last.all():
        return data.astype(np.int64)
    if not is_last[-1]:
        raise MalformedRecord("its last number has no end")
    ends = np.flatnonzero(is_last)
    lengths = np.diff(ends, prepend=-1)
    starts = ends - lengths + 1
    if (longest := int(lengths.max())) > LONGEST:
        raise MalformedRecord(f"a number takes {longest} bytes, more than {LONGEST}")
    out = np.zeros(ends.size, np.uint64)
    for place in range(longest):
        longer = lengths > place
        bits = (data[starts[longer] + place] & np.uint8(MORE - 1)).astype(np.uint64)
        out[longer] |= bits << np.uint64(BITS * place)
    return out.view(np.int64)


def _few(data: memoryview) -> Int64[np.ndarray, " n"]:
    """The numbers of a few bytes: NumPy takes far longer for these."""
    numbers, position = [], 0
    while position < len(data):
        number, position = read_varint(data, position)
        numbers.append(number)
    return np.array(numbers, np.uint64).view(np.int64)


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """The number at a position, and the position behind it. Raises MalformedRecord where it has no end."""
    number = 0
    for place in range(LONGEST):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        number |= (byte & (MORE - 1)) << BITS * place
        if byte < MORE:
            return number & (1 << 64) - 1, position
    raise MalformedRecord(f"the number at byte {position} has no end")
