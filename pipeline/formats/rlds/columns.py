"""How each array lies in a record: its node of features.json, and its rows as a feature.

TensorFlow Datasets gives every value back with the very bits: floats of 32 bits lie in a float list, which is theirs.
That list would round floats of 64 bits, so each row of these is its bytes, as is each row of small integers, which take
one to ten bytes each in a list of int64. TensorFlow decodes no bytes to uint32: those lie in a list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from isal import isal_zlib
from jaxtyping import Shaped, UInt8

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.pictures import is_picture
from pipeline.formats.rlds.example import FeatureList, bytes_list, bytes_of_rows, float_list, integer_list
from pipeline.frames.png import encode_pngs
from pipeline.sources.rlds.features import Encoding, image_node, tensor_node


class PictureEncoding(StrEnum):
    """`format.pictures`."""

    PNG = "png"
    """A feature `Image`; where the shape is none that it takes, as (84, 84) or a stack of frames, `zlib`, or `bytes` in
    files that compress their records."""
    ZLIB = "zlib"
    BYTES = "bytes"


Encode = Callable[[Shaped[np.ndarray, "rows ..."]], FeatureList]


@dataclass(frozen=True)
class RecordColumn:
    """One array of the steps, or of the episode.

    Attributes:
        node: what features.json says of it.
        encode: its rows as a feature.
    """

    node: dict[str, Any]
    encode: Encode


def record_column(row: RowSpec, pictures: PictureEncoding, is_compressed: bool) -> RecordColumn:
    """How an array with such rows lies in a record; `is_compressed`: the file compresses its records."""
    if is_picture(row.shape, row.dtype):
        if pictures == PictureEncoding.PNG and len(row.shape) == 3 and row.shape[-1] in (1, 3):
            return RecordColumn(image_node(row.shape), _png)
        if pictures == PictureEncoding.ZLIB or (pictures == PictureEncoding.PNG and not is_compressed):
            return RecordColumn(tensor_node(row.dtype, row.shape, Encoding.ZLIB), _zlib)
    if row.dtype == np.float32:
        return RecordColumn(tensor_node(row.dtype, row.shape, Encoding.NONE), float_list)
    if row.dtype in (np.bool_, np.uint32) or (row.dtype.kind in "iu" and not row.shape):
        return RecordColumn(tensor_node(row.dtype, row.shape, Encoding.NONE), integer_list)
    return RecordColumn(tensor_node(row.dtype, row.shape, Encoding.BYTES), bytes_of_rows)


def _png(pictures: UInt8[np.ndarray, "rows h w c"]) -> FeatureList:
    return bytes_list(encode_pngs(pictures))


def _zlib(pictures: UInt8[np.ndarray, "rows ..."]) -> FeatureList:
    return bytes_list([isal_zlib.compress(np.ascontiguousarray(picture), 1) for picture in pictures])
