"""Infos over many episodes: each keeps the dtype and shape that it had when it first came."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pipeline.episode import INFO, PRESENT, Episode

Layout = tuple[np.dtype[Any], tuple[int, ...]]
"""dtype and shape of one step's value."""


class InfoLayouts:
    """Makes later episodes fit the first ones: a simulator may say 0 in one episode and 0.5 in the next.

    Attributes:
        notes: what had to be left out.
    """

    def __init__(self) -> None:
        self._known: dict[str, Layout] = {}
        self.notes: list[str] = []

    def learn(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Layout:
        """The layout of `info/<key>`: the given one, if none was known before."""
        return self._known.setdefault(name, (dtype, shape))

    def conform(self, episode: Episode, number: int) -> Episode:
        """The episode with its infos in the known layouts; one that cannot be cast without loss is left out."""
        changed: dict[str, np.ndarray | None] = {}
        for name in [name for name in episode.steps if name.startswith(INFO)]:
            array = episode.steps[name]
            dtype, shape = self.learn(name, array.dtype, array.shape[1:])
            if (array.dtype, array.shape[1:]) == (dtype, shape):
                continue
            if array.shape[1:] == shape and np.can_cast(array.dtype, dtype, "safe"):
                changed[name] = array.astype(dtype)
                continue
            changed[name] = changed[PRESENT + name.removeprefix(INFO)] = None
            self.notes.append(
                f"{name} of episode {number} is {array.dtype}{list(array.shape[1:])}, which does not fit "
                f"{dtype}{list(shape)} of earlier episodes; it was left out there"
            )
        if not changed:
            return episode
        steps = {name: array for name, array in {**episode.steps, **changed}.items() if array is not None}
        return dataclasses.replace(episode, steps=steps)
