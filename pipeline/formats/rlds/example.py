"""Writes a tf.train.Example; `pipeline.sources.rlds.example` has its messages.

Arrays become lists without a loop over their values. What is written is what protocol buffers write for the same lists
in the order of the keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Num, Shaped

from pipeline.sources.rlds.wire import tag, varint, varints

VALUE = tag(1)
"""What stands before a value, or before the packed numbers, of a list; before the key of a feature, too."""

BYTES, FLOATS, INTEGERS = tag(1), tag(2), tag(3)
"""What stands before the list of a feature."""

BITS = 2**64 - 1


class FeatureList(NamedTuple):
    """A feature: which list it is, and the bytes of its values."""

    kind: bytes
    values: bytes | memoryview


def float_list(array: Num[np.ndarray, "n *each"]) -> FeatureList:
    """A feature that holds the values as float32."""
    return FeatureList(FLOATS, _flat(array.astype("<f4", copy=False)))


def integer_list(array: Num[np.ndarray, "n *each"]) -> FeatureList:
    """A feature that holds the values as int64; of uint64 the bits, as TensorFlow Datasets does."""
    if array.dtype == np.bool_:
        return FeatureList(INTEGERS, _flat(array))
    return FeatureList(INTEGERS, _flat(varints(np.ravel(array).astype(np.int64, copy=False))))


def one_integer(number: int) -> FeatureList:
    """A feature that holds one whole number."""
    return FeatureList(INTEGERS, varint(number & BITS))


def bytes_of_rows(array: Shaped[np.ndarray, "n *each"]) -> FeatureList:
    """A feature that holds each row as its raw little-endian bytes."""
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    count = len(array)
    rows = array.reshape(count, -1).view(np.uint8) if array.size else np.empty((count, 0), np.uint8)
    head = np.frombuffer(VALUE + varint(rows.shape[1]), np.uint8)
    out = np.empty((count, len(head) + rows.shape[1]), np.uint8)
    out[:, : len(head)] = head
    out[:, len(head) :] = rows
    return FeatureList(BYTES, _flat(out))


def bytes_list(values: Sequence[bytes]) -> FeatureList:
    """A feature that holds these bytes."""
    return FeatureList(BYTES, b"".join(chunk for value in values for chunk in (VALUE, varint(len(value)), value)))


def example(features: Iterable[tuple[str, FeatureList]]) -> bytes:
    """The whole message of features, which come in the order of their keys."""
    chunks: list[bytes | memoryview] = []
    for key, (kind, values) in features:
        chunks.append(_head(key, kind, len(values)))
        chunks.append(values)
    return b"".join((VALUE, varint(sum(map(len, chunks))), *chunks))


@lru_cache(maxsize=2**14)
def _head(key: str, kind: bytes, size: int) -> bytes:
    """What stands before the values of a feature: its entry, its key and its list."""
    packed = b"" if kind == BYTES else VALUE + varint(size)
    values = kind + varint(len(packed) + size) + packed
    name = key.encode()
    entry = VALUE + varint(len(name)) + name + tag(2) + varint(len(values) + size) + values
    return VALUE + varint(len(entry) + size) + entry


def _flat(array: Shaped[np.ndarray, "..."]) -> memoryview:
    """The bytes of an array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
