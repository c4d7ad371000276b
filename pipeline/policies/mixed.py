"""A policy that sometimes does something else: a uniformly random action, with a given chance at each decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Decision, Environment, GaveUp, Policy, Telling
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
        self._telling = policy if isinstance(policy, Telling) else None
        self.name, self.slots = policy.name, policy.slots
        self._spec: ArraySpec | None = None

    def identity(self) -> Mapping[str, Any]:
        return {**self._policy.identity(), "randomness": self._randomness}

    def start(self, slot: int, environment: Environment) -> None:
        """Begin an episode of the inner policy."""
        self._spec = bounded(environment.action_spec)
        self._policy.start(slot, environment)

    def outputs(self, slot: int) -> Mapping[str, np.float32]:
        """What the inner policy says, also where a random action took the place of its own."""
        return self._telling.outputs(slot) if self._telling else {}

    def act(self, decisions: Sequence[Decision]) -> list[Shaped[np.ndarray, "..."] | GaveUp]:
        """The policy's actions, some of them replaced. The inner policy sees every decision, and where it gives up, the
        episode ends.
        """
        if self._spec is None:
            raise RuntimeError("The policy does not know the actions yet: call start first.")
        actions = self._policy.act(decisions)
        return [
            uniform_action(self._spec, decision.rng)
            if not isinstance(action, GaveUp) and decision.rng.random() < self._randomness
            else action
            for decision, action in zip(decisions, actions, strict=True)
        ]
