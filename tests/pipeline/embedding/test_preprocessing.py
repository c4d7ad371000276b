"""Preparation of pictures: REGENT's arithmetic, torchvision's own transforms, the layouts of frames."""

import numpy as np
import pytest
import torch

from pipeline.embedding.preprocessing import Picture, arrange, prepare, resize, target
from pipeline.embedding.torchvision_import import torchvision
from pipeline.errors import InvalidInput, UnknownName

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pictures(*shape):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def test_a_pixel_by_255_is_what_regent_gets_from_jat():
    pixels = np.arange(256, dtype=np.uint8)
    for dtype in (np.float32, np.float64):  # JAT's numbers were computed in either, and are read as float32
        jat = ((pixels.astype(dtype) / 255 - 0.5) / 0.5).astype(np.float32)
        regent = jat * np.float32(0.5) + np.float32(0.5)
        plain = resize(
            torch.from_numpy(pixels).reshape(1, 1, 16, 16), Picture(None, None, "bilinear", False, False, MEAN, STD)
        )
        assert np.abs(regent - plain.numpy().reshape(-1)).max() < 1e-7


@pytest.mark.parametrize("layout", ["vertical", "channels", "each"])
def test_frames_become_pictures(layout):
    frames = pictures(2, 3, 5, 4)
    found = arrange(frames, layout).numpy()
    if layout == "vertical":
        for row in range(15):
            np.testing.assert_array_equal(found[:, 0, row], frames[:, row // 5, row % 5])
    elif layout == "channels":
        np.testing.assert_array_equal(found, frames)
    else:
        assert found.shape == (6, 1, 5, 4)
        np.testing.assert_array_equal(found[4, 0], frames[1, 1])


def test_frames_in_colour_keep_their_channels():
    frames = pictures(2, 2, 5, 4, 3)
    np.testing.assert_array_equal(arrange(frames, "vertical")[1, 2, 7], frames[1, 1, 2, :, 2])
    np.testing.assert_array_equal(arrange(frames, "each")[3, 1], frames[1, 1, :, :, 1])


@pytest.mark.parametrize(
    ("size", "crop", "interpolation"), [(256, 224, "bilinear"), (232, 224, "bilinear"), (256, 224, "bicubic")]
)
@pytest.mark.parametrize("shape", [(84, 84), (210, 160), (400, 300)])
def test_published_weights_get_pictures_as_torchvision_prepares_them(size, crop, interpolation, shape):
    transforms = torchvision().transforms
    official = transforms._presets.ImageClassification(
        crop_size=crop, resize_size=size, interpolation=transforms.InterpolationMode(interpolation)
    )
    frames = pictures(2, 1, *shape, 3)
    ours = prepare(frames, "each", Picture(size, crop, interpolation, True, True, MEAN, STD))
    torch.testing.assert_close(ours, official(frames[:, 0].permute(0, 3, 1, 2)), rtol=0, atol=1e-5)


def test_a_grey_picture_has_three_equal_channels_before_they_are_normalised():
    found = prepare(
        pictures(1, 1, 8, 8), "each", Picture(None, None, "bilinear", False, False, (0.0, 0.0, 0.0), (1.0, 2.0, 4.0))
    )
    torch.testing.assert_close(found[:, 0], found[:, 1] * 2)
    torch.testing.assert_close(found[:, 0], found[:, 2] * 4)


def test_the_shorter_side_is_resized_or_both():
    assert target(336, 84, Picture(256, None, "bilinear", True, True, MEAN, STD)) == (1024, 256)
    assert target(84, 336, Picture(256, None, "bilinear", True, True, MEAN, STD)) == (256, 1024)
    assert target(336, 84, Picture([224, 200], None, "bilinear", True, True, MEAN, STD)) == (224, 200)
    assert target(336, 84, Picture(None, 84, "bilinear", True, True, MEAN, STD)) == (336, 84)
    with pytest.raises(InvalidInput, match="no middle of 224 x 224"):
        target(336, 84, Picture(None, 224, "bilinear", True, True, MEAN, STD))


def test_wrong_settings_are_refused():
    with pytest.raises(UnknownName, match="Known: bicubic, bilinear"):
        Picture(None, None, "nearest", True, True, MEAN, STD)
    with pytest.raises(InvalidInput, match="mean has a number for each of three channels"):
        Picture(None, None, "bilinear", True, True, (0.5,), STD)
    with pytest.raises(InvalidInput, match=r"one number or \[height, width\]"):
        Picture([1, 2, 3], None, "bilinear", True, True, MEAN, STD)
