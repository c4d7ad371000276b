"""Pictures that Minari keeps as JPEG: one a row, decoded. What JPEG changed of them is lost."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from pipeline.errors import InvalidInput
from pipeline.sources.minari.raw import RawLeaf, reading_minari

BEGIN = b"\xff\xd8"
"""The first bytes of a JPEG."""


def jpeg_rows(leaf: RawLeaf) -> list[bytes] | None:
    """The JPEGs of an array of bytes or of a list of them; None for anything else."""
    if isinstance(leaf, np.ndarray):
        if leaf.dtype != np.uint8 or leaf.ndim != 2 or not len(leaf) or leaf[0, :2].tobytes() != BEGIN:
            return None
        return [row.tobytes() for row in leaf]
    rows = [each for each in leaf if isinstance(each, bytes)]
    return rows if len(rows) == len(leaf) and rows and rows[0][:2] == BEGIN else None


def decoded_jpegs(rows: Sequence[bytes], shape: Sequence[int] | None, where: str) -> UInt8[np.ndarray, "rows ..."]:
    """The pictures of JPEGs. Raises InvalidInput where one is damaged, or is not of `shape`."""
    out: Any = None
    for number, row in enumerate(rows):
        place = f"{where}, row {number}"
        with reading_minari(place):
            picture = _opened(row, place)
            have = (picture.height, picture.width, *((len(picture.getbands()),) if picture.mode != "L" else ()))
            wanted = tuple(shape) if shape is not None else have if out is None else out.shape[1:]
            if have != wanted:
                raise InvalidInput(f"{place} is a picture of shape {[*have]}; its space says {[*wanted]}.")
            if out is None:
                out = np.empty((len(rows), *have), np.uint8)
            out[number] = np.asarray(picture)
    return out


def _opened(row: bytes, place: str) -> Image.Image:
    try:
        return Image.open(BytesIO(row), formats=["JPEG"])
    except UnidentifiedImageError as error:  # its own words are an address in memory
        raise InvalidInput(f"{place} is no JPEG. It is damaged: copy or download it again.") from error
