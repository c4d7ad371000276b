"""The expert that comes with a simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.interfaces import Environment, GaveUp, Player, Turn


class Scripted:
    """Plays whatever `environment.expert()` gives.

    `start` raises InvalidInput for an environment without an expert. The expert's version is that of the simulator,
    which is part of the environment's identity.
    """

    name = "scripted"
    lanes = 1

    def __init__(self) -> None:
        self._experts: dict[int, Player] = {}

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def start(self, lane: int, environment: Environment) -> None:
        """Fetch a fresh expert, so that nothing of the last episode is left."""
        self._experts[lane] = environment.expert()

    def act(self, turns: Sequence[Turn]) -> list[np.ndarray | GaveUp]:
        """The experts' actions, or that one gave up. Raises RuntimeError for a lane without `start`."""
        return [self._act(turn) for turn in turns]

    def _act(self, turn: Turn) -> np.ndarray | GaveUp:
        try:
            return self._expert(turn.lane).act(turn.observation, turn.rng)
        except GaveUp as given_up:
            return given_up

    def _expert(self, lane: int) -> Player:
        if lane not in self._experts:
            raise RuntimeError("The scripted policy has no expert yet: call start first.")
        return self._experts[lane]
