"""Tokens of pictures and samples, as measured with the trainers' own classes."""

import pytest

from pipeline.formats.image_text.tokens import VAE, VIT, PictureTokens

CONSOLE, SQUARE = PictureTokens(160, 210), PictureTokens(84, 84)


def test_pictures_are_scaled_as_the_trainers_scale_them():
    assert (VAE.sides(160, 210), VIT.sides(160, 210)) == ((512, 672), (224, 294))
    assert (VAE.sides(84, 84), VIT.sides(84, 84)) == ((512, 512), (224, 224))
    assert VAE.sides(640, 480) == (688, 512)  # 682.7 is between 672 and 688
    assert VAE.sides(2048, 2048) == (1024, 1024)
    assert max(VAE.sides(100, 1000)) == 1024  # the longer side counts where both bounds cannot be kept
    assert VIT.sides(14, 7000)[0] == 14


@pytest.mark.parametrize(("picture", "vae", "vit", "patches"), [(CONSOLE, 1344, 336, 42), (SQUARE, 1024, 256, 32)])
def test_a_picture_has_its_tokens(picture: PictureTokens, vae: int, vit: int, patches: int):
    assert (picture.vae, picture.vit, picture.patches) == (vae, vit, patches)


def test_windows_of_bagel_have_the_measured_tokens():
    assert [CONSOLE.bagel(pictures, 0) for pictures in (2, 3)] == [3032, 6064]
    assert [SQUARE.bagel(pictures, 0) for pictures in (2, 3)] == [2312, 4624]
    assert CONSOLE.bagel(3, 5) == 6074  # with two texts of five bytes


def test_rows_of_thinkmorph_have_the_measured_tokens():
    marks = [2 * (2 + 1 + 4 + 3 * 4), 2 * (2 + 1 + 5 + 3 * 5)]
    assert [CONSOLE.thinkmorph(n, n - 1, 0, 0) for n in (5, 6)] == [
        1680 + 4 * 3024 + marks[0],
        1680 + 5 * 3024 + marks[1],
    ]
    assert 13888 - CONSOLE.thinkmorph(5, 4, 0, 0) == 74  # what the texts of a measured row had
    assert [picture.most_thinkmorph(limit, 60, 8) for limit in (16384, 10240) for picture in (CONSOLE, SQUARE)] == [
        5,
        7,
        3,
        4,
    ]
    assert CONSOLE.most_thinkmorph(100, 0, 0) == 0


@pytest.mark.parametrize("limit", [4639, 4640, 16384, 10**9])
def test_as_many_pictures_as_fit_and_no_more(limit: int):
    most = CONSOLE.most_thinkmorph(limit, 60, 8)
    assert CONSOLE.thinkmorph(most, most, 60, 8) < limit <= CONSOLE.thinkmorph(most + 1, most + 1, 60, 8)
