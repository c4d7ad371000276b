"""Atari's screens in JAT: floats in [-1, 1] back to grey bytes, and stacks of frames back to single frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from pipeline.domains.atari import LEVELS
from pipeline.errors import InvalidInput
from pipeline.sources.jat.rows import Block
from pipeline.sources.quirks import Quirks

TOLERANCE = np.float32(1e-4)
"""How far from a level a number may be; levels are 0.0078 apart."""

REPEAT, ZEROS = "repeat", "zeros"


def pixels(
    block: Block, name: str, real: Bool[np.ndarray, "rows width"], quirks: Quirks
) -> UInt8[np.ndarray, "rows width frames h w"]:
    """The grey bytes of a block's stacks; padding may be anything.

    Raises InvalidInput at the first real step with a number that is no grey level. Rows whose numbers are levels but
    not JAT's very floats are counted.
    """
    values = block.arrays[name].astype(np.float32, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are found below
        scaled = values * np.float32(127.5)
        scaled += np.float32(127.5)
        grey = np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8)
        off = LEVELS[grey]
        off -= values
        np.abs(off, out=off)
    steps = off.reshape(*real.shape, -1).max(axis=2)  # NaN where there is one
    if (bad := real & ~(steps <= TOLERANCE)).any():
        row, step = np.argwhere(bad)[0]
        where = np.argwhere(~(off[row, step] <= TOLERANCE))[0]
        raise InvalidInput(
            f"Screens in JAT are grey bytes p as (p/255 - 0.5)/0.5, from -1 to 1. {block.place(row)}, column {name}, "
            f"step {step}, frame {where[0]}, pixel {tuple(where[1:].tolist())} has {values[row, step][tuple(where)]}. "
            f"The file is damaged or holds screens of another kind; download it again."
        )
    quirks.count(
        "inexact_screens",
        "screens of {count} rows are not the very floats of (p/255 - 0.5)/0.5 in float32; bins made of the grey bytes "
        "differ from these rows in the last bits.",
        int((real & (steps > 0)).any(axis=1).sum()),
        rule="the nearest grey byte is stored",
    )
    return grey


@dataclass(frozen=True)
class FrameStack:
    """How stacks of `frames` frames, oldest first, are stored.

    Attributes:
        padding: what stands before the first frame of an episode: REPEAT of that frame, or ZEROS; single frames are
            stored then. None: stacks are stored as given.
    """

    frames: int
    padding: str | None

    def identity(self) -> dict[str, Any]:
        """JSON facts, enough to make the stacks again."""
        stored = {"stored": "frames", "padding": self.padding} if self.padding else {"stored": "stacks"}
        return {"frames": self.frames, **stored}

    def single(
        self,
        before: UInt8[np.ndarray, "frames h w"] | None,
        stacks: UInt8[np.ndarray, "t frames h w"],
        place: Callable[[], str],
    ) -> UInt8[np.ndarray, " t *stored"]:
        """The newest frame (h, w) of each of successive stacks, or the stacks where they are stored as given.

        `before` is the stack before them, None at an episode's start. Raises InvalidInput where the older frames are
        not those that came before.
        """
        if self.padding is None:
            return stacks
        fits = np.append(self._starts(stacks[0]) if before is None else goes_on(before, stacks[0]), _derived(stacks))
        if not fits.all():
            step = int(np.argmin(fits))
            raise InvalidInput(
                f"Each stack of {self.frames} frames must go on from the one before, and the first of an episode be "
                f"padded by the rule {self.padding}, as in the task's first row. {place()}: the stack of step {step} "
                f"{'starts the episode otherwise' if before is None and not step else 'does not'}. "
                f"Store all stacks as they are with source.stacks=keep, or name the rule: source.stacks=zeros|repeat"
            )
        return stacks[:, -1]

    def _starts(self, stack: UInt8[np.ndarray, "frames h w"]) -> bool:
        return bool((stack[:-1] == (stack[-1] if self.padding == REPEAT else 0)).all())

    def may_start(self, stack: UInt8[np.ndarray, "frames h w"]) -> bool:
        """Whether an episode may begin with this stack."""
        return self.padding is None or self._starts(stack)


def goes_on(before: UInt8[np.ndarray, "frames h w"], stack: UInt8[np.ndarray, "frames h w"]) -> bool:
    """Whether a stack is the one before it, moved on by one frame."""
    return bool((stack[:-1] == before[1:]).all())


def stack_rule(stacks: UInt8[np.ndarray, "t frames h w"]) -> FrameStack:
    """The rule that the first stacks of an episode follow; as given where they follow none."""
    if _derived(stacks).all():
        for padding in (REPEAT, ZEROS):
            rule = FrameStack(stacks.shape[1], padding)
            if rule.may_start(stacks[0]):
                return rule
    return FrameStack(stacks.shape[1], None)


def _derived(stacks: UInt8[np.ndarray, "t frames h w"]) -> Bool[np.ndarray, " t-1"]:
    """Which stacks go on from the one before."""
    return (stacks[1:, :-1] == stacks[:-1, 1:]).all(axis=(1, 2, 3))
