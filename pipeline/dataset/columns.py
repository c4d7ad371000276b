"""Which arrays the episodes of a dataset share, so that each new one can be packed with those before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pipeline.episode import INFO, PRESENT, Episode
from pipeline.errors import InvalidEpisode


class Layout:
    """Names, dtypes and shapes of observations, actions, rewards and discounts; the first episode settles them.

    Infos may come and go, and are no part of it.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}

    def learn(self, arrays: Iterable[tuple[str, Any, Sequence[int]]]) -> None:
        """Take name, dtype and shape of the step arrays that are in the dataset already."""
        self._rows = _rows(arrays)

    def check(self, episode: Episode) -> None:
        """Raises InvalidEpisode where the episode has other arrays than those before it."""
        self.agree((name, array.dtype, array.shape) for name, array in episode.steps.items())

    def agree(self, arrays: Iterable[tuple[str, Any, Sequence[int]]]) -> None:
        """As `check`, for name, dtype and shape of the step arrays of one or more episodes."""
        rows = _rows(arrays)
        if not self._rows:
            self._rows = rows
        if rows != self._rows:
            raise InvalidEpisode(
                f"Episodes of one dataset need the same arrays. This one has {_told(rows)}; those before it have "
                f"{_told(self._rows)}. Use another dataset name for another environment."
            )


def _rows(arrays: Iterable[tuple[str, Any, Sequence[int]]]) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    return {
        name: (np.dtype(dtype), tuple(shape[1:]))
        for name, dtype, shape in arrays
        if not name.startswith((INFO, PRESENT))
    }


def _told(rows: dict[str, tuple[np.dtype, tuple[int, ...]]]) -> str:
    return ", ".join(f"{name} {dtype}{list(shape)}" for name, (dtype, shape) in sorted(rows.items()))
