"""The pictures of some states, small enough for a page that shows thousands."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from PIL import Image

from pipeline.formats.contract import Outgoing
from pipeline.formats.image_text.rows import picture_array
from pipeline.frames.png import decode_png, encode_png
from pipeline.frames.store import PictureBlock
from pipeline.machine.threads import available_cores

LARGEST = 160
"""Pixels of the longer side."""

BLOCK = 2**14
"""States at a time, where there are no pictures."""


def small_pictures(
    data: Outgoing, states: Int64[np.ndarray, " n"]
) -> Iterator[tuple[range, pa.LargeBinaryArray | None, Int64[np.ndarray, " k"]]]:
    """Some of the ascending states at a time: their places among them, their pictures where those were drawn, and the
    bytes of each.
    """
    if data.frames is None:
        for start in range(0, len(states), BLOCK):
            some = range(start, min(start + BLOCK, len(states)))
            yield some, None, np.zeros(len(some), np.int64)
        data.advance(len(data))
        return
    ends = data.dataset.state_ends
    with ThreadPoolExecutor(available_cores(), "atlas") as pool:
        for block in data.frames.between(0, len(data)):
            first = int(ends[block.numbers.start - 1]) if block.numbers.start else 0
            begin, stop = np.searchsorted(states, (first, int(ends[block.numbers.stop - 1])))
            if begin < stop:
                own = states[begin:stop] - first
                # each earlier episode of the block has one picture more than it has states
                pictures = own + np.searchsorted(np.cumsum(block.rows - 1), own, "right")
                small = _small(block, pictures, pool)
                yield range(int(begin), int(stop)), small, pc.binary_length(small).to_numpy()
            data.advance(len(block.numbers))


def _small(block: PictureBlock, pictures: Int64[np.ndarray, " k"], pool: Executor) -> pa.LargeBinaryArray:
    files = picture_array(block).take(pa.array(pictures))
    if not (block.sides()[pictures] > LARGEST).any():
        return files
    return pa.array(list(pool.map(shrunk, files.to_pylist())), pa.large_binary())


def shrunk(file: bytes) -> bytes:
    """A PNG file of at most 160 pixels a side; one that is small enough stays as it is."""
    picture = decode_png(file)
    height, width = picture.shape[:2]
    largest = max(height, width)
    if largest <= LARGEST:
        return file
    size = (max(1, round(width * LARGEST / largest)), max(1, round(height * LARGEST / largest)))
    return encode_png(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)))
