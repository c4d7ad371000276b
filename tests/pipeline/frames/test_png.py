"""PNG files of our own framing, read by others."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pipeline.errors import InvalidInput
from pipeline.frames.png import SIGNATURE, decode_own, decode_png, encode_png

PICTURES = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda size: arrays(np.uint8, (*size, 3)))


@given(PICTURES)
def test_pillow_and_opencv_read_back_every_pixel(picture: np.ndarray):
    data = encode_png(picture)
    np.testing.assert_array_equal(decode_png(data), picture)
    opened = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(opened[..., ::-1], picture)


def test_a_view_that_is_not_contiguous_is_the_same_picture(rng: np.random.Generator):
    picture = rng.integers(0, 255, (30, 20, 3), np.uint8)
    np.testing.assert_array_equal(decode_png(encode_png(picture[::-1, ::2])), picture[::-1, ::2])


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(wrong: np.ndarray):
    with pytest.raises(InvalidInput, match="height, width, 3"):
        encode_png(wrong)


def test_bytes_that_are_no_picture_are_refused(rng: np.random.Generator):
    data = encode_png(rng.integers(0, 255, (30, 20, 3), np.uint8))
    for wrong in (b"", b"no picture", data[: len(data) // 2]):
        with pytest.raises(InvalidInput, match="no PNG"):
            decode_png(wrong)


def filtered(seed: int, channels: int, chunks: int = 1) -> bytes:
    """A file whose rows have every filter in turns, over noise."""
    rng = np.random.default_rng(seed)
    height, width = (int(each) for each in rng.integers(5, 30, 2))
    rows = rng.integers(0, 256, (height, 1 + channels * width), np.uint8)
    rows[:, 0] = (np.arange(height) + seed) % 5
    packed = zlib.compress(rows.tobytes())
    cuts = np.linspace(0, len(packed), chunks + 1).astype(int)
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    parts = [(b"IHDR", head), (b"tEXt", b"Title\0noise")]
    parts += [(b"IDAT", packed[start:end]) for start, end in itertools.pairwise(cuts)]
    framed = (
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in [*parts, (b"IEND", b"")]
    )
    return SIGNATURE + b"".join(framed)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_filter_is_undone_as_pillow_undoes_it(channels: int):
    for seed in range(10):
        data = filtered(seed, channels, 1 + seed % 3)
        wanted = np.asarray(Image.open(io.BytesIO(data)))
        out = np.empty((*wanted.shape[:2], channels), np.uint8)
        assert decode_own(data, out)
        np.testing.assert_array_equal(out.reshape(wanted.shape), wanted)
        np.testing.assert_array_equal(decode_png(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_a_damaged_checksum_or_an_unknown_filter_is_left_to_pillow():
    data = filtered(1, 3)
    out = decode_png(data).copy()
    place = data.index(b"IDAT") + 8
    assert not decode_own(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], out)
    assert not decode_own(data.replace(b"tEXt", b"tRNS"), out)
    rows = np.full((*out.shape[:1], 1 + 3 * out.shape[1]), 9, np.uint8)
    packed = zlib.compress(rows.tobytes())
    wrong = data[: data.index(b"IDAT") - 4] + struct.pack(">I", len(packed)) + b"IDAT" + packed
    wrong += struct.pack(">I", zlib.crc32(b"IDAT" + packed)) + data[-12:]
    assert not decode_own(wrong, out)
