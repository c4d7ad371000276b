"""Screens of an episode: their files' own bytes, and what the files show."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pipeline.envs.atari.screen import WIDTH, scaled_screens
from pipeline.errors import InvalidInput
from pipeline.frames.png import SIGNATURE, decode_png
from pipeline.frames.store import EncodedPicture, pixel_digest

MOST_PIXELS = 2**24
"""Of a screen; a larger one is refused before it is unpacked."""

MOST_BYTES = 2**27

LEAST_ROWS, MOST_ROWS = 84, 250
"""Of a screen that is scaled down to 84 x 84."""

_HEAD = 26


class ScreenKind(StrEnum):
    """`source.observation`."""

    RGB = "rgb"
    """The screen as it is, (height, width, 3)."""
    GREY84 = "grey84"
    """What agents see of an Atari screen: grey, scaled down by area, (84, 84)."""


def read_screen(path: Path) -> tuple[EncodedPicture, UInt8[np.ndarray, "h w 3"]]:
    """A file as it is, and its pixels. Raises InvalidInput where it is no PNG picture, or one of enormous size."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    width, height = _sides(path, data)
    if data[24] > 8:
        raise InvalidInput(f"{path} has {data[24]} bits a channel; screens have 8. Write it with 8.")
    if width * height > MOST_PIXELS or len(data) > MOST_BYTES:
        raise InvalidInput(
            f"{path} says that it is {width} x {height} pixels; no screen has more than {MOST_PIXELS:,}. Move it away: "
            f"its step is then left out."
        )
    try:
        pixels = decode_png(data)
    except InvalidInput as error:
        raise InvalidInput(
            f"{path} is damaged: {error}\nCopy it again, or move it away: its step is then left out."
        ) from error
    return EncodedPicture(data, pixel_digest(pixels)), pixels


def has_alpha(picture: EncodedPicture) -> bool:
    """Whether a PNG file has an alpha channel."""
    return picture.png[25] in (4, 6)


def _sides(path: Path, data: bytes) -> tuple[int, int]:
    """Width and height as the head of a file says."""
    if len(data) < _HEAD or not data.startswith(SIGNATURE) or data[12:16] != b"IHDR":
        raise InvalidInput(f"{path} is no PNG file. Copy it again, or move it away: its step is then left out.")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def observations(
    screens: Sequence[UInt8[np.ndarray, "h w 3"]], observed: ScreenKind, where: str
) -> UInt8[np.ndarray, "t ..."]:
    """What is stored of the screens of an episode.

    Raises InvalidInput for screens of several sizes, and for those that no Atari console shows where grey is wanted.
    """
    sizes = [screen.shape for screen in screens]
    if other := next((number for number, size in enumerate(sizes) if size != sizes[0]), None):
        raise InvalidInput(
            f"{where} holds screens of several sizes: {_size(sizes[0])}, and {_size(sizes[other])} at place {other}. "
            f"Keep those of one size."
        )
    if observed is ScreenKind.RGB:
        return np.stack(screens)
    rows, width, _ = sizes[0]
    if width != WIDTH or not LEAST_ROWS <= rows <= MOST_ROWS:
        raise InvalidInput(
            f"source.observation={observed} is for screens of an Atari console, {WIDTH} wide and {LEAST_ROWS} to "
            f"{MOST_ROWS} high; those in {where} are {_size(sizes[0])}. Take them as they are: source.observation=rgb"
        )
    return scaled_screens(np.stack([_grey(screen) for screen in screens]))


def _grey(screen: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """The emulator's grey of a screen in its colours."""
    shares = np.array([19595, 38470, 7471], np.uint32)
    return ((screen.astype(np.uint32) @ shares + 0x8000) >> 16).astype(np.uint8)


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"
