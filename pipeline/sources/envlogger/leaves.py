"""Protocol buffers of EnvLogger as columns of numbers and texts: what `reader.py` sends of them.

As that, it runs in the environment that has envlogger, and imports nothing of this project. The messages are those of
envlogger's storage.proto: a value is a datum (numbers of one type with a shape), an array, a tuple or a dict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

PARTS = ("reward", "discount", "observation", "action", "custom")
"""Of a step, without its type: ((step_type, reward, discount, observation), action, custom_data)."""

SCALAR = (-438,)
"""The shape that stands for a scalar."""

TEXT, WHOLE = "string_values", "bigint_values"
PACKED = {"float_values_buffer": ">f4", "int8_values": ">i1", "int16_values": ">i2"}
PACKED |= {"uint8_values": ">u1", "uint16_values": ">u2"}
REPEATED = {"float_values": "<f4", "double_values": "<f8", "int32_values": "<i4", "int64_values": "<i8"}
REPEATED |= {"uint32_values": "<u4", "uint64_values": "<u8", "bool_values": "|b1"}

MOST_SHAPES = 1024
"""So many are remembered."""


class Unfit(Exception):
    """Values that cannot be an array or a text; the message says why."""


class StepValue(NamedTuple):
    """The values of one leaf in one step, as the message has them."""

    row: int
    field: str
    shape: tuple[int, ...]
    values: Any
    message: Any


class Leaves:
    """The leaves of the steps of one episode, by the keys that lead to them."""

    def __init__(self) -> None:
        self.rows = 0
        self._found: dict[tuple[Any, ...], list[StepValue]] = {}

    def add(self, step: Any) -> None:
        """Another step: ((step_type, reward, discount, observation), action, custom_data)."""
        timestep, action, custom = step.tuple.values
        for name, part in zip(PARTS, (*timestep.tuple.values[1:], action, custom), strict=True):
            self._collect(part, (name,))
        self.rows += 1

    def add_whole(self, data: Any, name: str) -> None:
        """What was said of a whole episode or log; for an object without steps."""
        self._collect(data, (name,))
        self.rows = 1

    def _collect(self, data: Any, keys: tuple[Any, ...]) -> None:
        kind = data.WhichOneof("value")
        if kind == "datum":
            if (leaf := _leaf(data.datum, self.rows)) is not None:
                self._found.setdefault(keys, []).append(leaf)
        elif kind == "dict":
            for key in data.dict.values:
                self._collect(data.dict.values[key], (*keys, key))
            for pair in data.dict.kvs.values:
                key, value = pair.tuple.values
                self._collect(value, (*keys, _key(key)))
        elif kind is not None:
            for number, each in enumerate(getattr(data, kind).values):
                self._collect(each, (*keys, str(number)))

    def written(self) -> tuple[list[dict[str, Any]], list[bytes]]:
        """What the header of the frame says of each leaf, and the bytes that follow it."""
        heads, data = [], []
        for keys in sorted(self._found, key=repr):
            for head, blocks in _columns(self._found[keys], self.rows):
                heads.append({"keys": keys, **head})
                data.extend(blocks)
        return heads, data


def _leaf(datum: Any, row: int) -> StepValue | None:
    """None where it holds no value."""
    message = datum.values
    fields = message.ListFields()
    return StepValue(row, fields[0][0].name, _shape(datum.shape), fields[0][1], message) if fields else None


_shapes: dict[bytes, tuple[int, ...]] = {}


def _shape(shape: Any) -> tuple[int, ...]:
    """A shape; the same few come with every step, and are found by their bytes in a third of the time."""
    written = shape.SerializeToString()
    if (known := _shapes.get(written)) is None:
        if len(_shapes) > MOST_SHAPES:
            _shapes.clear()
        known = _shapes[written] = tuple(dim.size for dim in shape.dim)
    return known


def _key(data: Any) -> str | int:
    """The key of a dict that is no text."""
    leaf = _leaf(data.datum, 0)
    try:
        value = None if leaf is None else _alike([leaf])[0]
    except Unfit:
        return str(leaf.values) if leaf else ""
    return int(value) if isinstance(value, np.integer) else str(value)


def _columns(found: list[StepValue], rows: int) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
    """A leaf of the steps: a column of numbers, one of texts, or both where steps differ."""
    fields = {leaf.field for leaf in found}
    numbers = [leaf for leaf in found if leaf.field != TEXT] if TEXT in fields else found
    if TEXT in fields:
        texts = {leaf.row: leaf for leaf in found if leaf.field == TEXT}
        if all(leaf.shape == SCALAR for leaf in texts.values()):
            yield {"texts": [texts[row].values[0] if row in texts else None for row in range(rows)]}, []
        else:
            yield {"unfit": "it is an array of texts"}, []
    if numbers:
        try:
            values = _stacked(numbers)
        except Unfit as error:
            yield {"unfit": str(error)}, []
            return
        blocks = [np.ascontiguousarray(values).tobytes()]
        head: dict[str, Any] = {"dtype": values.dtype.str, "shape": values.shape}
        if fields - {TEXT} == {WHOLE}:
            head["python"] = True
        if len(numbers) < rows:
            present = np.zeros(rows, np.bool_)
            present[[leaf.row for leaf in numbers]] = True
            blocks.insert(0, present.tobytes())
        yield head, blocks


def _stacked(leaves: list[StepValue]) -> np.ndarray:
    """The values of several steps as one array with a first axis for the steps. Raises Unfit."""
    if len({(leaf.field, leaf.shape) for leaf in leaves}) == 1:
        return _alike(leaves)
    arrays = [_alike([leaf])[0] for leaf in leaves]
    if len({array.shape for array in arrays}) > 1:
        raise Unfit(f"its shapes differ: {sorted({array.shape for array in arrays})[:3]}")
    dtype = np.result_type(*{array.dtype for array in arrays})
    stacked = np.stack([array.astype(dtype) for array in arrays])
    if any(not np.array_equal(row.astype(each.dtype), each, True) for row, each in zip(stacked, arrays, strict=True)):
        raise Unfit(f"no type of numbers holds all of it: {sorted({str(array.dtype) for array in arrays})}")
    return stacked


def _alike(leaves: list[StepValue]) -> np.ndarray:
    """The same for leaves of one field and shape. Raises Unfit."""
    field, shape = leaves[0].field, leaves[0].shape
    if field in PACKED:
        big = np.frombuffer(b"".join([leaf.values for leaf in leaves]), PACKED[field])
        array = big.astype(big.dtype.newbyteorder("<"))
    elif field in REPEATED and shape == SCALAR:
        array = np.array([leaf.values[0] for leaf in leaves], REPEATED[field])
    elif field in ("double_values", "float_values"):  # packed: they lie at the message's end as they are in memory
        sizes = [len(leaf.values) * int(REPEATED[field][2]) for leaf in leaves]
        tails = [leaf.message.SerializeToString()[-size:] for leaf, size in zip(leaves, sizes, strict=True)]
        array = np.frombuffer(b"".join(tails), REPEATED[field])
    elif field in REPEATED:
        array = np.array([value for leaf in leaves for value in leaf.values], REPEATED[field])
    elif field == WHOLE and shape == SCALAR:
        array = _whole([int.from_bytes(leaf.values[0], "big", signed=True) for leaf in leaves])
    else:
        raise Unfit("it holds bytes" if field == "bytes_values" else f"it holds {field}")
    sizes = list(() if shape == SCALAR else shape)
    if any(size < 0 for size in sizes) or array.size != len(leaves) * math.prod(sizes):
        raise Unfit(f"{array.size} values do not make the shape {sizes}")
    return array.reshape(len(leaves), *sizes)


def _whole(numbers: list[int]) -> np.ndarray:
    """Whole numbers of any size in the type of 64 bits that holds them. Raises Unfit where none does."""
    least, most = min(numbers), max(numbers)
    if least < -(2**63) or most >= (2**63 if least < 0 else 2**64):
        raise Unfit("its whole numbers have more than 64 bits")
    return np.array(numbers, np.int64 if most < 2**63 else np.uint64)


def step_type(step: Any) -> int:
    """0 for the first step of an episode, 1 for one inside, 2 for the last; -1 where it says none of these."""
    leaf = _leaf(step.tuple.values[0].tuple.values[0].datum, 0)
    try:
        return -1 if leaf is None else int(_alike([leaf])[0])
    except (Unfit, TypeError):
        return -1
