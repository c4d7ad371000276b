"""Actions drawn uniformly between their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Environment, Observation


class Random:
    """Uniform over the action bounds; looks at no observation.

    `start` raises InvalidInput for actions without finite bounds.
    """

    name = "random"

    def __init__(self) -> None:
        self._spec: ArraySpec | None = None

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def start(self, environment: Environment) -> None:
        """Read the action's shape, dtype and bounds."""
        spec = environment.action_spec
        if spec.low is None or spec.high is None or not (np.isfinite(spec.low) & np.isfinite(spec.high)).all():
            raise InvalidInput(f"Random actions need finite bounds; they lie between {spec.low} and {spec.high}.")
        self._spec = spec

    def act(self, observation: Observation, rng: np.random.Generator) -> np.ndarray:
        """An action in the environment's shape and dtype. Raises RuntimeError before the first `start`."""
        if self._spec is None:
            raise RuntimeError("The random policy does not know the actions yet: call start first.")
        spec = self._spec
        low, high = np.asarray(spec.low), np.asarray(spec.high)
        if spec.dtype.kind in "iu":
            return np.asarray(rng.integers(low, high, size=spec.shape, endpoint=True, dtype=spec.dtype))
        return np.asarray(rng.uniform(low, high, size=spec.shape), spec.dtype)
