"""Screens of an episode: their files' own bytes, and what the files show."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from concurrent.futures import Executor
from enum import StrEnum
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pipeline.command import again
from pipeline.envs.atari.screen import WIDTH, scaled_screens
from pipeline.errors import InvalidInput
from pipeline.frames.png import SIGNATURE, decode_own, decode_png
from pipeline.frames.store import EncodedPicture, pixel_digest

MOST_PIXELS = 2**24
"""Of a screen; a larger one is refused before it is unpacked."""

MOST_BYTES = 2**27

LEAST_ROWS, MOST_ROWS = 84, 250
"""Of a screen that is scaled down to 84 x 84."""

MEND = "Copy it again, or move it away: its step is then left out."

_HEAD = 26


class ScreenKind(StrEnum):
    """`source.observation`."""

    RGB = "rgb"
    """The screen as it is, (height, width, 3)."""
    GREY84 = "grey84"
    """What agents see of an Atari screen: grey, scaled down by area, (84, 84)."""


def read_screens(
    paths: Sequence[Path], rows: int, pool: Executor
) -> tuple[list[EncodedPicture], UInt8[np.ndarray, "rows h w 3"]]:
    """Files as they are, and the pixels of each; zeros in the rows that have no file.

    Raises InvalidInput where one is no PNG picture, or one of enormous size, or of another size than the first.
    """
    first = _read(paths[0])
    width, height = _sides(paths[0], first)
    pixels = np.empty((rows, height, width, 3), np.uint8)
    pixels[len(paths) :] = 0
    return list(pool.map(_read_screen, paths, pixels)), pixels


def _read_screen(path: Path, out: UInt8[np.ndarray, "h w 3"]) -> EncodedPicture:
    data = _read(path)
    if (sides := _sides(path, data)) != out.shape[1::-1]:
        raise InvalidInput(
            f"The screens in {path.parent} have several sizes: the first is {_size(out.shape)}, {path.name} is "
            f"{sides[0]} x {sides[1]}. Keep those of one size."
        )
    if not decode_own(data, out):
        try:
            out[:] = decode_png(data)
        except InvalidInput as error:
            raise InvalidInput(f"{path} is damaged: {error}\n{MEND}") from error
    return EncodedPicture(data, pixel_digest(out))


def _read(path: Path) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(MOST_BYTES + 1)


def has_alpha(picture: EncodedPicture) -> bool:
    """Whether a PNG file has an alpha channel."""
    return picture.png[25] in (4, 6)


def _sides(path: Path, data: bytes) -> tuple[int, int]:
    """Width and height as the head of a file says. Raises InvalidInput where no screen has such a head."""
    if len(data) < _HEAD or not data.startswith(SIGNATURE) or data[12:16] != b"IHDR":
        raise InvalidInput(f"{path} is no PNG file. {MEND}")
    if data[24] > 8:
        raise InvalidInput(f"{path} has {data[24]} bits a channel; screens have 8. Write it with 8.")
    width, height = struct.unpack(">II", data[16:24])
    if not width * height:
        raise InvalidInput(f"{path} says that it is {width} x {height} pixels, which is no picture. {MEND}")
    if width * height > MOST_PIXELS or len(data) > MOST_BYTES:
        raise InvalidInput(
            f"{path} says that it is {width} x {height} pixels; no screen has more than {MOST_PIXELS:,}. Move it away: "
            f"its step is then left out."
        )
    return width, height


def observations(screens: UInt8[np.ndarray, "t h w 3"], kind: ScreenKind, where: Path) -> UInt8[np.ndarray, "t ..."]:
    """What is stored of the screens of an episode.

    Raises InvalidInput for screens that no Atari console shows, where grey is wanted.
    """
    if kind is ScreenKind.RGB:
        return screens
    _, rows, width, _ = screens.shape
    if width != WIDTH or not LEAST_ROWS <= rows <= MOST_ROWS:
        raise InvalidInput(
            f"source.observation={kind} is for screens of an Atari console, {WIDTH} wide and {LEAST_ROWS} to "
            f"{MOST_ROWS} high; those in {where} are {width} x {rows}. Take them as they are: "
            f"{again(source__observation=str(ScreenKind.RGB))}"
        )
    return scaled_screens(screens)


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"
