"""Observations that are pictures: which array of a dataset holds them, and how a row of it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from pipeline.dataset.pictures import LEAST_SIDE, MOST_FRAMES, is_picture
from pipeline.dataset.reader import EpisodeDataset

BLOCK = 256
"""Rows that are read at a time."""


@dataclass(frozen=True)
class Screens:
    """The pictures in a dataset's observations.

    Attributes:
        dataset: whose episodes are read.
        array: the step array, `observation` or one below it.
        shape: of one row of it.
    """

    dataset: EpisodeDataset
    array: str
    shape: tuple[int, ...]

    @property
    def words(self) -> str:
        """What is shown of an array: `array observation, grey, 84 x 84, the newest of 4 frames`."""
        stacked, height, width, kind = _layout(self.shape)
        newest = f", the newest of {stacked} frames" if stacked > 1 else ""
        return f"array {self.array}, {kind}, {width} × {height}{newest}"

    def rows(self, episode: int) -> int:
        """The rows of an episode that show something: not the last one where its source dropped it."""
        whole = bool(self.dataset.per_episode("has_final_observation")[episode])
        return int(self.dataset.lengths[episode]) + whole

    def picture(self, episode: int, row: int) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of one row."""
        return _colours(self.dataset.episode_rows(self.array, episode, row, row + 1), self.shape)[0]

    def pictures(self, episode: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The pictures of all rows of an episode, read in blocks."""
        rows = self.rows(episode)
        for start in range(0, rows, BLOCK):
            block = self.dataset.episode_rows(self.array, episode, start, min(start + BLOCK, rows))
            yield from _colours(block, self.shape)


def screens_of(dataset: EpisodeDataset) -> Screens | None:
    """The first array of the observations, by name, that holds pictures; None where none does.

    Shown are grey ones, (h, w) or (h, w, 1), those in colour, (h, w, 3), (h, w, 4) or (3, h, w), and stacks of grey
    ones (k, h, w), the newest last.
    """
    for name in dataset.array_names():
        shape, dtype = dataset.spec(name)
        if name.split("/")[0] == "observation" and is_picture(shape, dtype) and _layout(shape)[0]:
            return Screens(dataset, name, shape)
    return None


def _layout(shape: tuple[int, ...]) -> tuple[int, int, int, str]:
    """Frames of a stack, height, width, and whether grey or in colours; no frame where it is no picture."""
    if len(shape) == 2 and min(shape) >= LEAST_SIDE:
        return 1, shape[0], shape[1], "grey"
    if len(shape) == 3 and shape[2] in (1, 3, 4) and min(shape[:2]) >= LEAST_SIDE:
        return 1, shape[0], shape[1], "grey" if shape[2] == 1 else "in colour"
    if len(shape) == 3 and shape[0] <= MOST_FRAMES and min(shape[1:]) >= LEAST_SIDE:
        frames, kind = (1, "in colour") if shape[0] == 3 else (shape[0], "grey")
        return frames, shape[1], shape[2], kind
    return 0, 0, 0, ""


def _colours(rows: UInt8[np.ndarray, "n ..."], shape: tuple[int, ...]) -> UInt8[np.ndarray, "n h w 3"]:
    _, height, width, kind = _layout(shape)
    if kind == "in colour":
        return rows.transpose(0, 2, 3, 1) if shape[0] == 3 and shape[2] not in (3, 4) else rows[..., :3]
    grey = rows.reshape(len(rows), -1, height, width)[:, -1] if len(shape) == 2 or shape[-1] != 1 else rows[..., 0]
    return np.repeat(grey[..., None], 3, axis=-1)
