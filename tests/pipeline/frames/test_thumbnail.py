"""Thumbnails: which picture, which size, and what the files hold."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.frames.png import decode_png
from pipeline.frames.store import Frames
from pipeline.frames.thumbnail import episode_thumbnail, thumbnail, write_thumbnail
from tests.conftest import collected, toy_domain


def made(count: int, height: int = 6, width: int = 8) -> list[np.ndarray]:
    return [np.full((height, width, 3), 10 * number, np.uint8) for number in range(count)]


def opened(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("count", [2, 3, 20])
def test_it_is_the_second_last_picture(count: int):
    np.testing.assert_array_equal(thumbnail(iter(made(count))), made(count)[-2])


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_give_a_black_one(count: int):
    chosen = thumbnail(iter(made(count)))
    assert (chosen.shape, chosen.dtype, chosen.any()) == ((128, 128, 3), np.uint8, False)


@example(29, 58, 31)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 80))
def test_the_longer_side_is_at_most_the_largest_and_the_shape_stays(height: int, width: int, largest: int):
    chosen = thumbnail(made(2, height, width), largest)
    assert chosen.dtype == np.uint8
    if max(height, width) <= largest:
        assert chosen.shape == (height, width, 3)
    else:
        assert max(chosen.shape) == max(largest, 3)
        longest = max(height, width)
        for side, whole in zip(chosen.shape, (height, width), strict=False):
            assert 2 * abs(side * longest - max(longest, whole * largest)) <= longest  # half a pixel, in whole numbers


def test_a_png_has_every_pixel_and_a_jpg_nearly(tmp_path: Path):
    across, up = np.meshgrid(np.arange(80), np.arange(60))
    picture = np.stack([across * 3, up * 4, across + up], axis=-1).astype(np.uint8)
    for name in ("a.png", "a.jpg", "A.JPEG"):
        write_thumbnail(tmp_path / name, [picture, picture[::-1]])
    np.testing.assert_array_equal(opened(tmp_path / "a.png"), picture)
    for name in ("a.jpg", "A.JPEG"):
        assert np.abs(opened(tmp_path / name).astype(int) - picture).max() <= 8
        assert Image.open(tmp_path / name).format == "JPEG"
        assert cv2.imread(str(tmp_path / name)).shape == (60, 80, 3)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "A.JPEG").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A.JPEG", "a.jpg", "a.png"]


def test_the_thumbnail_of_an_episode_is_its_second_last_row(tmp_path: Path):
    workspace = Workspace(str(tmp_path / "work"))
    collected(toy_domain(), workspace, episodes=2, render=True)
    frames = Frames(workspace.of_kind("toy", "corner", "frames")[0])
    episode_thumbnail(frames, 1, tmp_path / "1.png")
    np.testing.assert_array_equal(opened(tmp_path / "1.png"), decode_png(frames[1][-2]))
    episode_thumbnail(frames, 1, tmp_path / "1.jpg", largest=50)
    assert opened(tmp_path / "1.jpg").shape == (50, 50, 3)


def test_other_files_sizes_and_arrays_are_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"\.png or \.jpg file, not a\.gif"):
        write_thumbnail(tmp_path / "a.gif", made(2))
    with pytest.raises(InvalidInput, match="largest=0"):
        write_thumbnail(tmp_path / "a.png", made(2), largest=0)
    for name in ("a.png", "a.jpg"):
        with pytest.raises(InvalidInput, match="height, width, 3"):
            write_thumbnail(tmp_path / name, [np.zeros((4, 4), np.uint8)] * 2)
    assert list(tmp_path.iterdir()) == []
