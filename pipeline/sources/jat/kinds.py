"""What the rows of each JAT domain hold, and how their steps become ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from pipeline.domains.babyai import GRID, MISSION_TOKENS, TOKENS
from pipeline.errors import InvalidInput
from pipeline.sources.jat.layout import AfterFullRow
from pipeline.sources.jat.rows import SHARED, Block, Column
from pipeline.sources.jat.screens import pixels
from pipeline.sources.quirks import Quirks

Steps = Mapping[str, np.ndarray]
"""Step arrays by name: (rows, row width, ...) for a block, (T, ...) for a row or an episode."""

ReadSteps = Callable[[Block, Bool[np.ndarray, "rows width"], Quirks], Steps]
"""(block, real steps, what to count quirks in) -> observations and actions as our step arrays."""


@dataclass(frozen=True)
class Kind:
    """One way to hold observations and actions.

    Attributes:
        row_width: steps in a row as published, padding included.
        columns: every column that is read, with what it must hold; observations come first.
        after_full_row: what decides whether an episode goes on after a row without padding, if there is no metadata and
            the next row's first reward is 0.0. `reward`: it does not, rewards are seldom 0.0; `stacks`: the stacks of
            frames do; `nothing`: rewards are mostly 0.0, and nothing else tells.
        read: raises InvalidInput at a bad value of a real step; padding may hold anything.
        missions: whether an episode has one, and its steps hold `MISSION_TOKENS`.
    """

    row_width: int
    columns: Mapping[str, Column]
    after_full_row: AfterFullRow
    read: ReadSteps
    missions: bool = False

    @property
    def observations(self) -> str:
        """Name of the column of observations."""
        return next(iter(self.columns))

    @property
    def stacks(self) -> bool:
        """Whether an observation is a stack of frames."""
        return self.after_full_row == "stacks"


def kind_of(domain: str) -> Kind:
    """The kind of a domain: vectors, unless it is known for something else."""
    return {"atari": SCREENS, "babyai": GRIDS}.get(domain, VECTORS)


def _vectors(block: Block, real: Bool[np.ndarray, "rows width"], quirks: Quirks) -> Steps:
    for name in ("continuous_observations", "continuous_actions"):
        block.check_finite(name, real)
    return {"observation": block.arrays["continuous_observations"], "action": block.arrays["continuous_actions"]}


def _screens(block: Block, real: Bool[np.ndarray, "rows width"], quirks: Quirks) -> Steps:
    return {"observation": pixels(block, "image_observations", real, quirks), "action": _choices(block)}


def _grids(block: Block, real: Bool[np.ndarray, "rows width"], quirks: Quirks) -> Steps:
    name = "discrete_observations"
    values = block.arrays[name]
    if values.shape[2] != GRID + TOKENS:
        raise InvalidInput(
            f"A step of BabyAI in JAT has {GRID + TOKENS} integers: {GRID} of direction and grid, then {TOKENS} tokens "
            f"of the mission. {block.place(0)} has {values.shape[2]}. Check domain and task."
        )
    grid, tokens = values[..., :GRID], values[..., GRID:]
    outside = ((grid < 0) | (grid > 255)).any(axis=2)
    block.refuse(name, real & outside, "BabyAI's direction and grid must be from 0 to 255.")
    outside = (tokens != tokens.astype(np.int32)).any(axis=2)
    block.refuse(name, real & outside, "Tokens of a mission must be integers of 32 bits.")
    return {
        "observation": grid.astype(np.uint8),
        "action": _choices(block),
        MISSION_TOKENS: tokens.astype(np.int32),
    }


def _choices(block: Block) -> Int64[np.ndarray, "rows width"]:
    return block.arrays["discrete_actions"].astype(np.int64, copy=False)


VECTORS = Kind(
    256, {"continuous_observations": Column(2), "continuous_actions": Column(2), **SHARED}, "reward", _vectors
)
GRIDS = Kind(
    256,
    {"discrete_observations": Column(2, whole=True), "discrete_actions": Column(1, whole=True), **SHARED},
    "nothing",
    _grids,
    missions=True,
)
SCREENS = Kind(
    32, {"image_observations": Column(4), "discrete_actions": Column(1, whole=True), **SHARED}, "stacks", _screens
)
