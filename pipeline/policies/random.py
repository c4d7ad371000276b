"""Actions drawn uniformly between their bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Decision, Environment

AHEAD = 32
"""Actions that are drawn at a time."""

WHOLE = "iub"
"""Kinds of the dtypes of whole numbers."""


class Random:
    """Uniform over the action bounds; looks at no observation.

    `start` raises InvalidInput for actions without finite bounds.
    """

    name = "random"
    slots = 1

    def __init__(self) -> None:
        self._spec: ArraySpec | None = None

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def start(self, slot: int, environment: Environment) -> None:
        """Read the action's shape, dtype and bounds."""
        if (spec := environment.action_spec) is not self._spec:
            self._spec = bounded(spec)

    def act(self, decisions: Sequence[Decision]) -> list[Shaped[np.ndarray, "..."]]:
        """Actions in the environment's shape and dtype. Raises RuntimeError before the first `start`."""
        return [uniform_action(self._bounded, decision.rng) for decision in decisions]

    def upcoming(self, rng: np.random.Generator) -> Shaped[np.ndarray, "n ..."]:
        """Those that `act` would give one by one; short whole numbers, of which a generator makes several at a time,
        come alone. Raises as `act`.
        """
        spec = self._bounded
        several = spec.dtype.kind not in WHOLE or spec.dtype.itemsize >= 4
        return _uniform_actions(spec, rng, AHEAD if several else 1)

    @property
    def _bounded(self) -> ArraySpec:
        if self._spec is None:
            raise RuntimeError("The random policy does not know the actions yet: call start first.")
        return self._spec


def bounded(spec: ArraySpec) -> ArraySpec:
    """The same spec. Raises InvalidInput where random actions have no finite bounds to be drawn between."""
    if spec.low is None or spec.high is None or not _finite_apart(spec.low, spec.high):
        raise InvalidInput(
            f"Random actions need finite bounds; they lie between {spec.low} and {spec.high}. Bound them in the "
            f"environment (gymnasium.wrappers.RescaleAction does), or take another policy: policy=callable, policy=sb3"
        )
    return spec


def _finite_apart(low: Shaped[np.ndarray, "..."], high: Shaped[np.ndarray, "..."]) -> bool:
    """Whether the distance between the bounds is a number, too."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.subtract(high, low, dtype=np.float64)).all())


def uniform_action(spec: ArraySpec, rng: np.random.Generator) -> Shaped[np.ndarray, "..."]:
    """An action drawn uniformly between the bounds, both included, of a spec that has them."""
    return _uniform_actions(spec, rng, 1)[0, ...]


def _uniform_actions(spec: ArraySpec, rng: np.random.Generator, count: int) -> Shaped[np.ndarray, "count ..."]:
    low, high = np.asarray(spec.low), np.asarray(spec.high)
    size = (count, *spec.shape)
    if spec.dtype.kind in WHOLE:
        drawn = rng.integers(low, high, size=size, endpoint=True, dtype=spec.dtype)
    else:  # what rng.uniform computes, in a third of its time
        begin = low.astype(np.float64)
        drawn = begin + (high - begin) * rng.random(size)
    return np.asarray(drawn, spec.dtype)
