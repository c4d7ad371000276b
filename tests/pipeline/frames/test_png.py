"""PNG files of our own framing, read by others."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import InvalidInput
from pipeline.frames.png import decode_png, encode_png

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
