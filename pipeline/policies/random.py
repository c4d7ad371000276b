"""Actions drawn uniformly between their bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Decision, Environment


class Random:
    """Uniform over the action bounds; looks at no observation.

    `start` raises InvalidInput for actions without finite bounds.

    Attributes:
        ahead: actions that are drawn at a time; they are those that would be drawn one by one. 1 where somebody else
            draws from the same generators.
    """

    name = "random"
    slots = 1

    def __init__(self) -> None:
        self.ahead = 32
        self._spec: ArraySpec | None = None
        self._drawn: dict[int, tuple[np.random.Generator, list[Shaped[np.ndarray, "..."]]]] = {}

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def start(self, slot: int, environment: Environment) -> None:
        """Read the action's shape, dtype and bounds."""
        self._spec = bounded(environment.action_spec)

    def act(self, decisions: Sequence[Decision]) -> list[Shaped[np.ndarray, "..."]]:
        """Actions in the environment's shape and dtype. Raises RuntimeError before the first `start`."""
        return [self._next(decision.slot, decision.rng) for decision in decisions]

    def _next(self, slot: int, rng: np.random.Generator) -> Shaped[np.ndarray, "..."]:
        drawn_by, drawn = self._drawn.get(slot, (None, []))
        if drawn_by is not rng or not drawn:  # each episode has a generator of its own
            if self._spec is None:
                raise RuntimeError("The random policy does not know the actions yet: call start first.")
            drawn = list(uniform_actions(self._spec, rng, self.ahead))[::-1]
            self._drawn[slot] = rng, drawn
        return drawn.pop()


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
    return next(uniform_actions(spec, rng, 1))


def uniform_actions(spec: ArraySpec, rng: np.random.Generator, count: int) -> Iterator[Shaped[np.ndarray, "..."]]:
    """As so many calls of `uniform_action`; short whole numbers, of which a generator makes several at a time, alone.

    The generator may have moved further than that.
    """
    low, high = np.asarray(spec.low), np.asarray(spec.high)
    if spec.dtype.kind in "iub":
        count = count if spec.dtype.itemsize >= 4 else 1
        drawn = rng.integers(low, high, size=(count, *spec.shape), endpoint=True, dtype=spec.dtype)
    else:  # what rng.uniform computes, in a third of its time
        begin = low.astype(np.float64)
        drawn = np.asarray(begin + (high - begin) * rng.random((count, *spec.shape)), spec.dtype)
    return (drawn[number, ...] for number in range(count))
