"""One column of a LeRobot dataset that holds one array of ours: the numbers as Arrow, and back, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped, UInt8

from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, exactly
from pipeline.wording import json_words

NUMBERS, PAIRS, IMAGE, NOTHING = "numbers", "pairs", "image", "nothing"
"""How a column holds an array: as numbers of its dtype; whole numbers beyond 2**63 as pairs of uint32, the lower first;
as pictures; not at all, where a row has no numbers."""

LARGEST_ROW = 2**31
"""Numbers of a row, at most."""

KINDS = (NUMBERS, PAIRS, IMAGE, NOTHING)
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class LeRobotColumn:
    """An array of ours and the column that holds it.

    Attributes:
        array: its name, such as `observation/camera`.
        dtype, shape: of one row of the array.
        column: its name there, such as `observation.images.camera`; empty for `nothing`.
        kind: one of `KINDS`.
        channels: of a picture as it is stored; 3 for a grey one whose level stands there three times.
    """

    array: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    column: str
    kind: str = NUMBERS
    channels: int = 0

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the column. No reader there knows uint64."""
        if self.kind == PAIRS:
            return np.dtype(np.uint32)
        return np.dtype(np.int64) if self.dtype == np.uint64 else self.dtype

    @property
    def width(self) -> int:
        """Numbers of one row."""
        return math.prod(self.shape) * (2 if self.kind == PAIRS else 1)

    @property
    def feature(self) -> dict[str, Any]:
        """What info.json says of the column."""
        if self.kind == IMAGE:
            shape = [*picture_size(self.shape), self.channels]
            return {"dtype": "image", "shape": shape, "names": ["height", "width", "channels"]}
        return number_feature(self.stored, self.width)

    @property
    def type(self) -> pa.DataType:
        """The Arrow type of the column."""
        return IMAGE_TYPE if self.kind == IMAGE else _number_type(self.stored, self.width)

    def as_json(self) -> dict[str, Any]:
        """Its line in the table of meta/repertoire.json."""
        facts = {"name": self.array, "dtype": self.dtype.name, "shape": list(self.shape)}
        facts |= {"column": self.column, "kind": self.kind}
        return facts | ({"channels": self.channels} if self.kind == IMAGE else {})

    @staticmethod
    def from_json(line: Mapping[str, Any]) -> LeRobotColumn:
        """The inverse of `as_json`. Raises KeyError, TypeError or ValueError for what is no such line."""
        shape = tuple(map(int, line["shape"]))
        dtype = np.dtype(line["dtype"])
        column = LeRobotColumn(
            str(line["name"]), dtype, shape, str(line["column"]), line["kind"], line.get("channels", 0)
        )
        sides = [side for side in shape if side]
        if dtype.kind not in STORED_KINDS or min(shape, default=1) < 0 or math.prod(sides) > LARGEST_ROW:
            raise ValueError(f"{json_words(line['dtype'])} of shape {json_words(line['shape'])} is no array")
        if column.kind not in KINDS:
            raise ValueError(f"{line} describes no array")
        if (column.kind == NOTHING) != (column.width == 0):
            raise ValueError(f"{line} says that a row holds {column.width} numbers")
        if column.kind == IMAGE and (dtype != np.uint8 or column.channels not in (1, 3)):
            raise ValueError(f"{line} describes no pictures")
        return column

    def arrow(self, rows: Shaped[np.ndarray, "n ..."]) -> pa.Array:
        """Rows of the array as the column holds them; not for pictures."""
        flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
        if self.kind == PAIRS:
            flat = flat.astype("<u8").view("<u4").astype(np.uint32)
        return number_array(flat.astype(self.stored, copy=False))

    def rows(self, column: pa.Array) -> Shaped[np.ndarray, "n ..."]:
        """The inverse of `arrow`. Raises InvalidInput where the column holds something else."""
        flat = column_numbers(column, self.column, self.stored, self.width)
        if self.kind == PAIRS:
            flat = np.ascontiguousarray(flat.astype("<u4")).view("<u8")
        return flat.astype(self.dtype, copy=False).reshape(len(flat), *self.shape)

    def pictures(self, rows: UInt8[np.ndarray, "n ..."]) -> UInt8[np.ndarray, "n h w c"]:
        """Rows of the array as the pictures that are stored."""
        if rows.ndim == 3:
            rows = rows[..., np.newaxis]
        elif not _channels_last(self.shape):
            rows = np.moveaxis(rows, 1, -1)
        return np.repeat(rows, self.channels, -1) if rows.shape[-1] != self.channels else rows

    def from_pictures(self, pictures: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "n ..."]:
        """The inverse of `pictures`. Raises InvalidInput where a grey picture has colours."""
        if math.prod(self.shape) != math.prod(pictures.shape[1:]):
            if (pictures != pictures[..., :1]).any():
                raise InvalidInput(f"{self.column} should hold grey pictures; there are colours in it.")
            pictures = pictures[..., :1]
        if len(self.shape) == 3 and not _channels_last(self.shape):
            pictures = np.moveaxis(pictures, -1, 1)
        return np.ascontiguousarray(pictures).reshape(len(pictures), *self.shape)


def is_lerobot_picture(shape: tuple[int, ...], dtype: np.dtype[Any], least: int = 16) -> bool:
    """Whether rows are single pictures, grey or in colours, whose sides are at least so long.

    >>> each = np.dtype(np.uint8)
    >>> [is_lerobot_picture(shape, each) for shape in ((84, 84), (3, 64, 64), (4, 84, 84), (7, 7, 3))]
    [True, True, False, False]
    """
    if dtype != np.uint8 or len(shape) not in (2, 3):
        return False
    return (len(shape) == 2 or 1 in (shape[0], shape[2]) or 3 in (shape[0], shape[2])) and min(
        picture_size(shape)
    ) >= least


def picture_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a picture with this shape."""
    if len(shape) == 2:
        return shape[0], shape[1]
    return (shape[0], shape[1]) if _channels_last(shape) else (shape[1], shape[2])


def picture_channels(shape: tuple[int, ...]) -> int:
    """1 for a grey picture, else 3."""
    return math.prod(shape) // math.prod(picture_size(shape))


def number_feature(dtype: np.dtype[Any], width: int) -> dict[str, Any]:
    """What info.json says of a column of numbers, `width` a row."""
    return {"dtype": dtype.name, "shape": [width], "names": None}


def _number_type(dtype: np.dtype[Any], width: int) -> pa.DataType:
    """The Arrow type of a column of numbers: the number itself where a row has one."""
    kind = pa.from_numpy_dtype(dtype)
    return kind if width == 1 else pa.list_(kind, width)


def number_array(flat: Shaped[np.ndarray, "n d"]) -> pa.Array:
    """Numbers as a column of Arrow, without a copy; NaN stays NaN and is no null."""
    values = pa.array(np.ascontiguousarray(flat).reshape(-1), from_pandas=False)
    return values if flat.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(values, flat.shape[1])


def column_numbers(column: pa.Array, name: str, dtype: np.dtype[Any], width: int) -> Shaped[np.ndarray, "n d"]:
    """A column of numbers, or of lists however deep, as (n, width) of a dtype. Raises InvalidInput for others."""
    count, values = len(column), column
    while _is_list(values.type):
        if values.null_count:
            raise InvalidInput(f"{name} has no value in {values.null_count} rows.")
        if not pa.types.is_fixed_size_list(values.type):
            sizes = np.diff(values.offsets.to_numpy())
            if len(sizes) and (sizes != sizes[0]).any():
                raise InvalidInput(f"{name} holds lists of several lengths, {sizes.min()} to {sizes.max()}.")
        values = values.flatten()
    if values.null_count:
        raise InvalidInput(f"{name} has no value in {values.null_count} places.")
    if len(values) != count * width or not _is_number(values.type):
        raise InvalidInput(
            f"{name} should hold {width} numbers of {dtype} a row; the rows hold {column.type}, together {len(values)} "
            f"values in {count} rows."
        )
    numbers = values.to_numpy(zero_copy_only=False).reshape(count, width)
    if (fitting := exactly(numbers, dtype)) is None:
        raise InvalidInput(f"{name} should hold {dtype}, as meta/info.json says; {numbers.dtype} in it does not fit.")
    return fitting


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_list, pa.types.is_fixed_size_list, pa.types.is_large_list))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _channels_last(shape: tuple[int, ...]) -> bool:
    return shape[2] in (1, 3)
