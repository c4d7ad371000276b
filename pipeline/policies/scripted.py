"""The expert that comes with a simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.interfaces import Environment, Observation, Policy


class Scripted:
    """Plays whatever `environment.expert()` gives.

    `start` raises InvalidInput for an environment without an expert. The expert's version is that of the simulator,
    which is part of the environment's identity.
    """

    name = "scripted"

    def __init__(self) -> None:
        self._expert: Policy | None = None

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def start(self, environment: Environment) -> None:
        """Fetch a fresh expert, so that nothing of the last episode is left."""
        self._expert = environment.expert()
        self._expert.start(environment)

    def act(self, observation: Observation, rng: np.random.Generator) -> np.ndarray:
        """The expert's action. Raises RuntimeError before the first `start`."""
        if self._expert is None:
            raise RuntimeError("The scripted policy has no expert yet: call start first.")
        return self._expert.act(observation, rng)
