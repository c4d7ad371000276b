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


def write_odd_tree(root: Path) -> None:
    """Two games, with all that a reader may meet and can read."""
    alien = root / "atari_alien"
    write_episode(alien / "episode_000_rand0.2", texts(0, 5), screens(0, 6))
    said = [*texts(1, 2), None, "3: RIGHT \n", *texts(2, 2)]
    write_episode(alien / "episode_001_rand0.25", said, screens(1, 6))
    write_episode(
        alien / "episode_002", ["LEFT", "8:DOWN", "19: UNKNOWN", "JUMP", "[[11]]", "4: LEFT: up"], screens(2, 6)
    )
    write_episode(alien / "episode_003_rand0.20", texts(3, 1), screens(3, 1), first=7)
    write_episode(alien / "episode_004_rand0.5", [None, None], screens(4, 2))
    write_episode(alien / "temp_episode_5", texts(5, 2), screens(5, 2))
    (alien / "episode_001_rand0.25" / "action_000099.txt").write_text("1: FIRE")
    (alien / "notes.txt").write_text("stray")
    (alien / "episode_000_rand0.2" / "episode.json").write_text("{}")
    write_tree(root, (3, 2), "atari_montezuma")
    (root / "logs").mkdir()
    (root / "README.md").write_text("stray")
