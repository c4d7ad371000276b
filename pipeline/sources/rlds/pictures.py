"""Pictures of a record: PNG exactly, JPEG as this machine's decoder sees it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.frames.png import decode_own
from pipeline.sources.rlds.example import ValueList
from pipeline.sources.rlds.features import Leaf
from pipeline.sources.rlds.wire import MalformedRecord

JPEG = b"\xff\xd8\xff"

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""PIL's name of a picture with so many channels."""

EXACT = {"L": ("1", "L"), "RGB": ("1", "L", "P", "RGB"), "RGBA": ("RGBA",)}
"""The modes that become another one without a change of what is seen."""

MOST_PIXELS = 2**26


def is_jpeg(found: ValueList) -> bool:
    """Whether the first picture begins as a JPEG does."""
    return any(bytes(file[:3]) == JPEG for file in found.byte_strings()[:1])


def read_pictures(files: Sequence[Any], leaf: Leaf) -> UInt8[np.ndarray, "rows h w c"]:
    """The pictures of files of one size. Raises MalformedRecord where one is none, or has another shape."""
    channels = leaf.shape[-1] if len(leaf.shape) == 3 else 3
    if channels not in MODES or leaf.dtype != "uint8":
        raise MalformedRecord(f"{leaf.name} is a picture of {leaf.dtype} with {channels} channels, which is not read")
    if not files:
        return np.zeros((0, *(size or 0 for size in leaf.shape)), np.uint8)
    first = _by_pillow(bytes(files[0]), channels, leaf)
    wanted = leaf.shape if len(leaf.shape) == 3 else first.shape
    if any(size not in (None, have) for size, have in zip(wanted, first.shape, strict=True)):
        raise MalformedRecord(f"{leaf.name} should be {_sizes(wanted)}; the first picture is {_sizes(first.shape)}")
    pictures = np.empty((len(files), *first.shape), np.uint8)
    for number, file in enumerate(files):
        data = bytes(file)
        if channels not in (1, 3) or not decode_own(data, pictures[number]):
            picture = _by_pillow(data, channels, leaf)
            if picture.shape != first.shape:
                sizes = f"the first picture is {_sizes(first.shape)}, number {number} is {_sizes(picture.shape)}"
                raise MalformedRecord(f"{leaf.name} should have one size; {sizes}")
            pictures[number] = picture
    return pictures


def _by_pillow(data: bytes, channels: int, leaf: Leaf) -> UInt8[np.ndarray, "h w c"]:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
            mode = MODES[channels]
            if image.mode not in EXACT[mode] or image.width * image.height > MOST_PIXELS:
                raise MalformedRecord(
                    f"{leaf.name} should be a picture with {channels} channels; it is {image.mode}, {image.size}"
                )
            pixels = np.asarray(image.convert(mode))
    except MalformedRecord:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MalformedRecord(f"{leaf.name} is no picture: {error}") from None
    return pixels.reshape(*pixels.shape[:2], channels)


def _sizes(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)
