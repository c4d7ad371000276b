"""Writes a tf.train.Example; `pipeline.sources.rlds.example` has its messages.

Arrays become lists without a loop over their values. What is written is what protocol buffers write for the same lists
in the order of the keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Num, Shaped

from pipeline.sources.rlds.wire import tag, varint, varints

Chunk = bytes | memoryview
"""Bytes that are joined once, at the end."""

VALUE = tag(1)
"""What stands before a value, or before the packed numbers, of a list; before the key of a feature, too."""

BYTES, FLOATS, INTEGERS = tag(1), tag(2), tag(3)
"""What stands before the list of a feature."""


def float_list(array: Num[np.ndarray, "n *each"]) -> list[Chunk]:
    """A feature that holds the values as float32."""
    return _within(FLOATS, _within(VALUE, [_flat(array.astype("<f4", copy=False))]))


def integer_list(array: Num[np.ndarray, "n *each"]) -> list[Chunk]:
    """A feature that holds the values as int64; of uint64 the bits, as TensorFlow Datasets does."""
    return _within(INTEGERS, _within(VALUE, [_flat(varints(np.ravel(array).astype(np.int64)))]))


def bytes_of_rows(array: Shaped[np.ndarray, "n *each"]) -> list[Chunk]:
    """A feature that holds each row as its raw little-endian bytes."""
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    count = len(array)
    rows = array.reshape(count, -1).view(np.uint8) if array.size else np.empty((count, 0), np.uint8)
    head = np.frombuffer(VALUE + varint(rows.shape[1]), np.uint8)
    out = np.empty((count, len(head) + rows.shape[1]), np.uint8)
    out[:, : len(head)] = head
    out[:, len(head) :] = rows
    return _within(BYTES, [_flat(out)])


def bytes_list(values: Sequence[bytes]) -> list[Chunk]:
    """A feature that holds these bytes."""
    return _within(BYTES, [chunk for value in values for chunk in (VALUE, varint(len(value)), value)])


def example(features: Iterable[tuple[str, Sequence[Chunk]]]) -> bytes:
    """The whole message of features by key."""
    entries: list[Chunk] = []
    for name, feature in sorted(features):
        key = name.encode()
        entries += _within(VALUE, [VALUE, varint(len(key)), key, *_within(tag(2), feature)])
    return b"".join(_within(VALUE, entries))


def _within(before: bytes, chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks as the value of a field."""
    return [before, varint(sum(len(chunk) for chunk in chunks)), *chunks]


def _flat(array: Shaped[np.ndarray, "..."]) -> memoryview:
    """The bytes of an array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
