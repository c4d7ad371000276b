"""A policy that sometimes does something else: a uniformly random action, with a given chance at each decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Environment, GaveUp, Policy, Turn
from pipeline.policies.random import bounded, uniform_action


class Mixed:
    """Plays `policy`, but with the chance `randomness` at each decision an action drawn uniformly between the bounds.

    0 leaves the policy alone, 1 is uniformly random. The drawn action may be the policy's own. Raises InvalidInput for
    a chance outside [0, 1], `start` for actions without finite bounds.
    """

    def __init__(self, policy: Policy, randomness: float) -> None:
        if not 0 <= randomness <= 1:
            raise InvalidInput(f"policy.randomness is a chance, from 0 to 1; it is {randomness}.")
        self._policy, self._randomness = policy, float(randomness)
        self.name, self.lanes = policy.name, policy.lanes
        self._spec: ArraySpec | None = None

    def identity(self) -> Mapping[str, Any]:
        return {**self._policy.identity(), "randomness": self._randomness}

    def start(self, lane: int, environment: Environment) -> None:
        """Begin an episode of the inner policy."""
        self._spec = bounded(environment.action_spec)
        self._policy.start(lane, environment)

    def act(self, turns: Sequence[Turn]) -> list[np.ndarray | GaveUp]:
        """The policy's actions, some of them replaced. The inner policy sees every turn; that it gave up stands."""
        if self._spec is None:
            raise RuntimeError("The policy does not know the actions yet: call start first.")
        actions = self._policy.act(turns)
        return [
            uniform_action(self._spec, turn.rng)
            if not isinstance(action, GaveUp) and turn.rng.random() < self._randomness
            else action
            for turn, action in zip(turns, actions, strict=True)
        ]
