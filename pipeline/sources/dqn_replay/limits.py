"""`max_episodes` and `max_transitions`: exact, counted over the episodes that are stored, in reading order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from pipeline.wording import check_count

STOP, SKIP, ALLOW_LAST = OVERFLOWS = ("stop", "skip", "allow_last")
"""At the first episode that is too long for what is left: end before it, leave it out and go on, or end after it."""


@dataclass(frozen=True)
class Limits:
    """At most so many episodes and transitions; None: no limit."""

    episodes: int | None = None
    transitions: int | None = None
    overflow: str = STOP

    def __post_init__(self) -> None:
        for name, value in (("max_episodes", self.episodes), ("max_transitions", self.transitions)):
            if value is not None:
                check_count(f"source.{name}", value)

    @property
    def skips(self) -> bool:
        """Whether episodes in the middle may be left out; the number stored then does not tell how many were read."""
        return self.overflow == SKIP and self.transitions is not None


class Quota:
    """What may still be stored, when `episodes` with `transitions` are stored already."""

    def __init__(self, limits: Limits, episodes: int = 0, transitions: int = 0) -> None:
        self._limits = limits
        self._episodes, self._transitions = episodes, transitions
        self._ended = False

    @property
    def full(self) -> bool:
        """Whether no further episode can be taken."""
        return (
            self._ended
            or (self._limits.episodes is not None and self._episodes >= self._limits.episodes)
            or (self._limits.transitions is not None and self._transitions >= self._limits.transitions)
        )

    def take(self, lengths: Int64[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """(n,) lengths of the next episodes -> (n,) bool, which of them are stored."""
        return np.asarray([self._takes(length) for length in lengths.tolist()], np.bool_)

    def _takes(self, length: int) -> bool:
        if self.full:
            return False
        most = self._limits.transitions
        if most is not None and self._transitions + length > most and self._limits.overflow != ALLOW_LAST:
            self._ended = self._limits.overflow == STOP
            return False
        self._episodes += 1
        self._transitions += length
        return True


def enough(limits: Limits, stored: int, transitions: int, shortest: Int64[np.ndarray, "n"]) -> int:
    """The most of the next episodes that can be needed, when only a lower bound of each length is known.

    `stored` episodes with at least `transitions` come before them; `shortest` (n,) are the bounds.
    """
    count = len(shortest)
    if limits.skips:
        return count  # any later one may be short enough
    if limits.episodes is not None:
        count = min(count, max(0, limits.episodes - stored))
    if limits.transitions is not None:
        reached = transitions + np.cumsum(shortest) >= limits.transitions
        if transitions >= limits.transitions:
            count = 0
        elif reached.any():
            count = min(count, int(np.argmax(reached)) + 1)
    return count
