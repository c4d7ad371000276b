"""The last few observations of each slot side by side, as a network wants to see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput

PADDINGS = ("zero", "first")
"""What stands before the first observation: zeros as in VecFrameStack, or that observation as in Gymnasium."""


@dataclass(frozen=True)
class Arrangement:
    """How observations of one shape become a network's input.

    Attributes:
        observation: shape of one observation.
        shape: shape of the input.
        frames: observations in it, the newest last.
        axis: along which they follow each other: 0 or -1.
        widens: an observation gets a new axis there.
        channels_first: an observation's last axis becomes its first one before that.
    """

    observation: tuple[int, ...]
    shape: tuple[int, ...]
    frames: int = 1
    axis: int = 0
    widens: bool = False
    channels_first: bool = False


def fit_observation(
    observation: tuple[int, ...], shape: tuple[int, ...], frames: int | None = None
) -> Arrangement | None:
    """The way from an observation to an input of that shape, or None where there is none.

    (84, 84) fits into (84, 84), (4, 84, 84) and (84, 84, 4); (64, 64, 3) also into (64, 64, 12), (12, 64, 64) and
    (4, 64, 64, 3). Vectors are joined, (9,) to (36,), only where `frames` asks for it: twice as many numbers are rather
    another task than a stack.
    """
    found = [
        *_as_they_are(observation, shape),
        *_along_a_new_axis(observation, shape),
        *(_along_an_axis(observation, shape) if len(shape) > 1 or frames is not None else []),
    ]
    return next((each for each in found if frames in (None, each.frames)), None)


def stacked(observation: tuple[int, ...], frames: int | None, channels: str) -> Arrangement:
    """`frames` observations, joined as `channels` (first or last) says; None leaves an observation as it is.

    (84, 84) becomes (4, 84, 84) or (84, 84, 4), (64, 64, 3) becomes (12, 64, 64) or (64, 64, 12), (9,) becomes (36,).
    """
    if frames is None:
        return Arrangement(observation, observation)
    first = channels == "first"
    if len(observation) == 2:
        shape = (frames, *observation) if first else (*observation, frames)
        return Arrangement(observation, shape, frames, 0 if first else -1, widens=True)
    if len(observation) == 3 and first:
        height, width, depth = observation
        return Arrangement(observation, (frames * depth, height, width), frames, 0, channels_first=True)
    return Arrangement(observation, (*observation[:-1], frames * observation[-1]), frames, -1)


def _as_they_are(observation: tuple[int, ...], shape: tuple[int, ...]) -> list[Arrangement]:
    return [Arrangement(observation, shape)] if observation == shape else []


def _along_a_new_axis(observation: tuple[int, ...], shape: tuple[int, ...]) -> list[Arrangement]:
    found = []
    if observation and shape[1:] == observation:
        found.append(Arrangement(observation, shape, shape[0], 0, widens=True))
    if observation and shape[:-1] == observation:
        found.append(Arrangement(observation, shape, shape[-1], -1, widens=True))
    return found


def _along_an_axis(observation: tuple[int, ...], shape: tuple[int, ...]) -> list[Arrangement]:
    found = []
    for moved in (False, True) if len(observation) == 3 else (False,):
        one = (observation[-1], *observation[:-1]) if moved else observation
        if len(one) != len(shape) or not one:
            continue
        if one[1:] == shape[1:] and shape[0] % one[0] == 0:
            found.append(Arrangement(observation, shape, shape[0] // one[0], 0, channels_first=moved))
        if one[:-1] == shape[:-1] and shape[-1] % one[-1] == 0:
            found.append(Arrangement(observation, shape, shape[-1] // one[-1], -1, channels_first=moved))
    return found


class Stack:
    """Keeps the input of every slot; `rows` (slots, *shape) is what the network sees.

    Raises InvalidInput for an unknown padding, `push` for an observation of another shape.
    """

    def __init__(self, arrangement: Arrangement, rows: Shaped[np.ndarray, "slots ..."], padding: str = "zero") -> None:
        if padding not in PADDINGS:
            raise InvalidInput(f"policy.padding is one of {', '.join(PADDINGS)}; it is {padding}.")
        self._way, self.rows, self._padding = arrangement, rows, padding
        self._fresh = [True] * len(rows)
        self._width = arrangement.shape[arrangement.axis] // arrangement.frames if arrangement.shape else 0

    def clear(self, slot: int) -> None:
        """An episode begins in the slot."""
        self._fresh[slot] = True

    def push(self, slot: int, observation: Shaped[np.ndarray, "..."]) -> None:
        """Take the slot's newest observation in."""
        if observation.shape != self._way.observation:
            raise InvalidInput(
                f"Observations changed their shape from {self._way.observation} to {observation.shape} within one task."
            )
        frame, row = self._framed(observation), self.rows[slot, ...]
        if self._way.frames == 1:
            row[...] = frame
            return
        if self._fresh[slot]:
            self._fresh[slot] = False
            self._fill(row, frame)
        elif self._way.axis == 0:
            row[: -self._width] = row[self._width :]
        else:
            row[..., : -self._width] = row[..., self._width :]
        if self._way.axis == 0:
            row[-self._width :] = frame
        else:
            row[..., -self._width :] = frame

    def _fill(self, row: Shaped[np.ndarray, "..."], frame: Shaped[np.ndarray, "..."]) -> None:
        row[...] = 0 if self._padding == "zero" else np.concatenate([frame] * self._way.frames, self._way.axis)

    def _framed(self, observation: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        if self._way.channels_first:
            observation = np.moveaxis(observation, -1, 0)
        return np.expand_dims(observation, self._way.axis) if self._way.widens else observation
