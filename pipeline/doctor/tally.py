"""Counts of one fault, with the first places where it was met."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int64

from pipeline.doctor.block import EpisodeBlock

SHOWN = 5
"""Places that a finding names."""

KEPT = 20
"""Numbers of episodes that are kept, so that a command can leave them out."""


@dataclass
class FaultTally:
    """How many times something was met, and where first.

    Attributes:
        count: times: episodes, rows or values, as its owner says.
        within: episodes with it.
        episodes: the numbers of the first of them.
        examples: `episode 3, row 17`.
    """

    count: int = 0
    within: int = 0
    episodes: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.count > 0

    def of_episodes(self, block: EpisodeBlock, found: Bool[np.ndarray, " n"]) -> None:
        """Count the episodes of a block that `found` marks."""
        if not found.any():
            return
        numbers = np.flatnonzero(found)
        self.count += len(numbers)
        self._add(block, numbers, [f"episode {block.first + n:,}" for n in numbers[:SHOWN].tolist()])

    def of_rows(self, block: EpisodeBlock, found: Bool[np.ndarray, " rows"]) -> None:
        """Count the rows of a block that `found` marks."""
        if found.any():
            self.at_rows(block, np.flatnonzero(found))

    def at_rows(self, block: EpisodeBlock, rows: Int64[np.ndarray, " k"], times: int | None = None) -> None:
        """Count rows of a block by their numbers; `times` where they are met more often than once each."""
        if not len(rows):
            return
        self.count += len(rows) if times is None else times
        places = [block.place(int(row)) for row in rows[:SHOWN]]
        numbers = np.unique(np.searchsorted(block.ends, rows, "right"))
        self._add(block, numbers, [f"episode {episode:,}, row {row:,}" for episode, row in places])

    def _add(self, block: EpisodeBlock, numbers: Int64[np.ndarray, " k"], examples: list[str]) -> None:
        self.within += len(numbers)
        self.episodes += [block.first + n for n in numbers[: KEPT - len(self.episodes)].tolist()]
        self.examples += examples[: SHOWN - len(self.examples)]
