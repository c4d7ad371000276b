"""The digest of the episodes that an export holds, by which its door knows whether somebody changed them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool

from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import combine
from pipeline.episode import Episode


class HeldDigest:
    """Digest of a dataset's episodes as the door of a form gives them back.

    The store knows those of the episodes that leave as they are. The others are shown as they are written, so that
    nothing is read twice; only what a killed run had written is.

    Args:
        dataset: the episodes as they are in the store.
        change: what the door gives of an episode that leaves.
        changed: which of them it gives otherwise than they are in the store.
        leaving: the episode of a number as it leaves.
    """

    def __init__(
        self,
        dataset: EpisodeDataset,
        change: Callable[[Episode], Episode],
        changed: Bool[np.ndarray, " n"],
        leaving: Callable[[int], Episode],
    ) -> None:
        self._change, self._leaving = change, leaving
        self._digests = dataset.per_episode("digest")
        self._missing = changed.copy()

    def see(self, number: int, episode: Episode) -> None:
        """An episode as it leaves."""
        if self._missing[number]:
            self._digests[number] = np.frombuffer(self._change(episode).digest(), np.uint8)
            self._missing[number] = False

    def digest(self) -> str:
        """Of all episodes; reads those that were not seen."""
        for number in np.flatnonzero(self._missing).tolist():
            self.see(number, self._leaving(number))
        return combine(bytes(row) for row in self._digests)
