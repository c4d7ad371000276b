"""Finished episodes that a worker holds back for a moment, to spill several short ones together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset.plain import bundles_of
from pipeline.dataset.spill import save_bundle, spill_path
from pipeline.rollout.claims import TOGETHER, TOGETHER_SECONDS
from pipeline.rollout.rollout import Played

HELD_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Finished:
    """Episodes that have been spilled.

    Attributes:
        first: the number of the first one; the others follow it.
        lengths: the states of each.
        notes: those of the builder, of all of them.
    """

    first: int
    lengths: Sequence[int]
    notes: tuple[str, ...]


class Held:
    """Finished episodes on their way to the spill folder. What is not spilled yet is lost in a kill.

    They are let go when they are many or large, or when a quarter of a second has passed since it was done last: a long
    episode is never held.

    Args:
        spill: the folder.
        tell: is told what has been spilled.
    """

    def __init__(self, spill: Path, tell: Callable[[Finished], None]) -> None:
        self._spill, self._tell = spill, tell
        self._played: list[Played] = []
        self._nbytes, self._since = 0, time.monotonic()

    def add(self, played: Played) -> None:
        """Hold an episode that has just ended."""
        self._played.append(played)
        self._nbytes += played.episode.nbytes
        many = len(self._played) >= TOGETHER or self._nbytes >= HELD_BYTES
        if many or time.monotonic() - self._since >= TOGETHER_SECONDS:
            self.let_go()

    def let_go(self) -> None:
        """Spill all of them."""
        played = sorted(self._played, key=lambda each: each.index)
        notes = tuple(dict.fromkeys(note for each in played for note in each.notes))
        for first, bundle in bundles_of([(each.index, each.episode) for each in played]):
            save_bundle(spill_path(self._spill, first), bundle)
            self._tell(Finished(first, bundle.lengths.tolist(), notes))
        self._played, self._nbytes, self._since = [], 0, time.monotonic()
