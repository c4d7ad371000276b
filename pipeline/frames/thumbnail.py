"""Thumbnails: the second-last picture of an episode, which still shows what it was about when it ended.

The last one is often a black or blank screen, or that of the next episode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.errors import InvalidInput
from pipeline.frames.png import decode_png, encode_png
from pipeline.frames.store import Frames
from pipeline.machine.files import write_atomic
from pipeline.wording import check_count

BLACK = (128, 128, 3)
"""Shape of the picture that stands for an episode with fewer than two."""

JPG_QUALITY = 95


def thumbnail(pictures: Iterable[UInt8[np.ndarray, "h w 3"]], largest: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """The second-last picture, or a black one of 128 x 128 where there are fewer than two.

    Args:
        pictures: of the rows in order; two are held at a time.
        largest: pixels of the longer side; a larger picture is shrunk to it, a smaller one left as it is.

    Raises InvalidInput where `largest` is not positive.
    """
    if largest is not None:
        check_count("largest", largest)
    last_two = deque(pictures, maxlen=2)
    chosen = last_two[0] if len(last_two) == 2 else np.zeros(BLACK, np.uint8)
    height, width = chosen.shape[:2]
    if largest is None or max(height, width) <= largest:
        return chosen
    size = [max(1, round(side * largest / max(height, width))) for side in (width, height)]
    return np.asarray(Image.fromarray(np.ascontiguousarray(chosen)).resize(size, Image.Resampling.LANCZOS))


def write_thumbnail(path: Path, pictures: Iterable[UInt8[np.ndarray, "h w 3"]], largest: int | None = None) -> None:
    """Write `thumbnail(pictures, largest)` atomically: `.png` without loss, `.jpg` or `.jpeg` at quality 95 with full
    colour resolution. Raises InvalidInput for other names, and for what is no picture.
    """
    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise InvalidInput(f"A thumbnail is a .png or .jpg file, not {path.name}.")
    picture = thumbnail(pictures, largest)
    data = encode_png(picture)  # refuses what is no picture
    if suffix == ".png":
        write_atomic(path, lambda file: file.write(data))
    else:
        image = Image.fromarray(np.ascontiguousarray(picture))
        write_atomic(path, lambda file: image.save(file, "JPEG", quality=JPG_QUALITY, subsampling=0))


def episode_thumbnail(frames: Frames, index: int, path: Path, largest: int | None = None) -> None:
    """Write the thumbnail of one episode, decoding no picture but the last two."""
    files = frames[index]
    write_thumbnail(path, [decode_png(files[row]) for row in range(len(files))[-2:]], largest)
