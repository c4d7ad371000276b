"""How much of a dataset is there, and how much is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from pipeline.command import again
from pipeline.errors import InvalidInput


class Size(NamedTuple):
    """How much is there."""

    episodes: int = 0
    states: int = 0


@dataclass(frozen=True)
class Amount:
    """How much is asked for: exactly `episodes`, or whole episodes with at least `states`, or (both None) everything.

    Raises InvalidInput where both are set, or one is below 1.

    >>> Amount(states=100).met(Size(episodes=3, states=120))
    True
    """

    episodes: int | None = None
    states: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("episodes", self.episodes), ("states", self.states)):
            if value is not None and value < 1:
                raise InvalidInput(f"{name}={value} asks for nothing; it must be at least 1.")
        if self.episodes is not None and self.states is not None:
            raise InvalidInput(f"Set episodes= or states=, not both.\nEpisodes alone: {again(states=None)}")

    @property
    def everything(self) -> bool:
        """Whether everything that a source has is asked for."""
        return self.episodes is None and self.states is None

    def met(self, have: Size) -> bool:
        """Whether `have` is enough. Never where everything is asked for: only the source knows where that ends."""
        if self.episodes is not None:
            return have.episodes >= self.episodes
        return self.states is not None and have.states >= self.states

    def needed(self, have: Size, lengths: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which of the next episodes must be added to what is there, up to the one that meets the amount.

        `lengths` are the states of each.
        """
        if self.episodes is not None:
            return have.episodes + np.arange(len(lengths)) < self.episodes
        if self.states is not None:
            return have.states + np.cumsum(lengths) - lengths < self.states
        return np.ones(len(lengths), np.bool_)

    def leading(self, state_ends: Int64[np.ndarray, " n"]) -> int:
        """How many leading episodes of a large enough dataset meet the amount; `state_ends` are cumulative states."""
        if self.episodes is not None:
            return self.episodes
        if self.states is not None:
            return int((state_ends < self.states).sum()) + 1
        return len(state_ends)
