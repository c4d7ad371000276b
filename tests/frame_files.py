"""Folders of screens and action texts, as samplers write them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.domains.atari import ACTIONS

Screens = np.ndarray


def screens(seed: int, count: int, shape: tuple[int, int] = (210, 160)) -> Screens:
    """Large flat areas in a few colours, as on a console; (count, height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (8, 3), np.uint8)
    areas = rng.integers(0, 8, (count, 7, 8)).repeat(-(-shape[0] // 7), 1).repeat(-(-shape[1] // 8), 2)
    return colours[areas[:, : shape[0], : shape[1]]]


def png(picture: np.ndarray, mode: str = "RGB") -> bytes:
    """A file as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, "PNG")
    return file.getvalue()


def write_episode(
    folder: Path, texts: Sequence[str | None], pictures: Screens, first: int = 0, mode: str = "RGB"
) -> None:
    """A screen for each picture; an action for each text that is one."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, first):
        (folder / f"frame_{number:06d}.png").write_bytes(png(picture, mode))
    for number, text in enumerate(texts, first):
        if text is not None:
            (folder / f"action_{number:06d}.txt").write_text(text)


def texts(seed: int, count: int, actions: Sequence[int] = range(18)) -> list[str]:
    """`8: DOWNRIGHT`, of a game with these of the 18 actions."""
    numbers = np.random.default_rng(seed).integers(0, len(actions), count).tolist()
    return [f"{number}: {ACTIONS[actions[number]]}" for number in numbers]


def write_tree(root: Path, lengths: Sequence[int] = (5, 3, 4), environment: str = "atari_alien") -> None:
    """Episodes of so many steps; every second one has a screen after its last action."""
    for number, length in enumerate(lengths):
        folder = root / environment / f"episode_{number:03d}_rand{(0.2, 0.25, 1.0)[number % 3]}"
        write_episode(folder, texts(number, length), screens(number, length + number % 2))
