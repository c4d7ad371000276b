"""The expert that comes with a simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.interfaces import Decision, Environment, GaveUp, Player


class Scripted:
    """Plays whatever `environment.expert()` gives.

    `start` raises InvalidInput for an environment without an expert. The expert's version is that of the simulator,
    which is part of the environment's identity.
    """

    name = "scripted"
    slots = 1

    def __init__(self) -> None:
        self._experts: dict[int, Player] = {}

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def start(self, slot: int, environment: Environment) -> None:
        """Fetch a fresh expert, so that nothing of the last episode is left."""
        self._experts[slot] = environment.expert()

    def act(self, decisions: Sequence[Decision]) -> list[Shaped[np.ndarray, "..."] | GaveUp]:
        """The experts' actions, or that one gave up. Raises RuntimeError for a slot without `start`."""
        return [self._act(decision) for decision in decisions]

    def _act(self, decision: Decision) -> Shaped[np.ndarray, "..."] | GaveUp:
        try:
            return self._expert(decision.slot).act(decision.observation, decision.rng)
        except GaveUp as given_up:
            return given_up

    def _expert(self, slot: int) -> Player:
        if slot not in self._experts:
            raise RuntimeError("The scripted policy has no expert yet: call start first.")
        return self._experts[slot]
