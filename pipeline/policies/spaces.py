"""What an agent was trained to see and to do, and whether an environment offers that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Environment
from pipeline.policies.opaque import Opaque


@dataclass(frozen=True)
class Space:
    """A Gymnasium space without Gymnasium: `kind` is its class in small letters.

    `spec` holds shape, dtype and bounds, both included. A `dict` has `parts` instead; its spec is empty.
    """

    kind: str
    spec: ArraySpec
    parts: Mapping[str, Space] = field(default_factory=dict)


def read_space(opaque: Opaque) -> Space:
    """The space of a pickle of `gymnasium`, or of the `gym` before it. Raises InvalidInput for another kind."""
    kind, has = type(opaque).__name__.lower(), vars(opaque)
    shape = tuple(has.get("_shape") or has.get("shape") or ())
    if kind == "dict":
        return Space(
            kind, ArraySpec((), np.dtype(float)), {name: read_space(each) for name, each in has["spaces"].items()}
        )
    if kind == "box":
        return Space(kind, ArraySpec(shape, np.dtype(has["dtype"]), np.asarray(has["low"]), np.asarray(has["high"])))
    if kind == "discrete":
        first = int(has.get("start", 0))
        last = first + int(has["n"]) - 1
        return Space(kind, ArraySpec((), np.dtype(np.int64), np.asarray(first), np.asarray(last)))
    if kind == "multidiscrete":
        sizes = np.asarray(has["nvec"], np.int64)
        return Space(kind, ArraySpec(sizes.shape, np.dtype(np.int64), np.zeros_like(sizes), sizes - 1))
    if kind == "multibinary":
        shape = shape or tuple(np.atleast_1d(has["n"]).tolist())
        return Space(kind, ArraySpec(shape, np.dtype(np.int8), np.zeros(shape, np.int8), np.ones(shape, np.int8)))
    raise InvalidInput(
        f"Spaces of the kind {type(opaque).__name__} are not understood: Box, Discrete, Dict and the like are."
    )


def gymnasium_space(space: Space) -> Any:
    """The same space, as Gymnasium's."""
    from gymnasium import spaces

    low, high = space.spec.low, space.spec.high
    if space.kind == "dict":
        return spaces.Dict({name: gymnasium_space(part) for name, part in space.parts.items()})
    if space.kind == "box":
        dtype: Any = space.spec.dtype.type
        return spaces.Box(np.asarray(low), np.asarray(high), space.spec.shape, dtype)
    if space.kind == "discrete":
        return spaces.Discrete(int(np.asarray(high)) - int(np.asarray(low)) + 1, start=int(np.asarray(low)))
    if space.kind == "multidiscrete":
        return spaces.MultiDiscrete(np.asarray(high) + 1)
    shape = space.spec.shape
    return spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)


def check_actions(agent: Space, environment: Environment, who: str) -> None:
    """Raises InvalidInput where the agent's actions are not those that the environment takes."""
    has, wants = agent.spec, environment.action_spec
    whole = wants.dtype.kind in "iub"
    if (agent.kind != "box") == whole and has.shape == wants.shape and _same_bounds(has, wants):
        return
    raise InvalidInput(
        f"{who} was trained to give {_shown(has)}; this environment takes {_shown(wants)}.{_hint(has, environment)}"
    )


def _same_bounds(a: ArraySpec, b: ArraySpec) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(_bounds(a), _bounds(b), strict=True))


def _bounds(spec: ArraySpec) -> list[Float32[np.ndarray, "..."]]:
    """Low and high, of the spec's shape; no bound is an infinite one."""
    ends = ((spec.low, -np.inf), (spec.high, np.inf))
    return [np.broadcast_to(np.asarray(none if end is None else end, np.float32), spec.shape) for end, none in ends]


def _shown(spec: ArraySpec) -> str:
    if spec.shape == () and spec.dtype.kind in "iub" and spec.low is not None and spec.high is not None:
        return f"one of {int(spec.high) - int(spec.low) + 1} actions ({int(spec.low)} to {int(spec.high)})"
    kind = "whole numbers" if spec.dtype.kind in "iub" else "real numbers"
    return f"{kind} of shape {spec.shape} between {_bound(spec.low)} and {_bound(spec.high)}"


def _bound(bound: Shaped[np.ndarray, "..."] | None) -> str:
    if bound is None:
        return "no bound"
    values = np.unique(bound)
    return f"{values[0]:g}" if len(values) == 1 else str(np.asarray(bound).tolist())


def _hint(agent: ArraySpec, environment: Environment) -> str:
    """What to do about another number of actions, where the environment knows its actions by name (Atari)."""
    wants = environment.action_spec
    if agent.shape == wants.shape == () and agent.high is not None and "actions" in environment.identity():
        if int(agent.high) == 17:
            return f" Give it all 18: {again(domain__environment__full_actions=True)}"
        if wants.high is not None and int(wants.high) == 17:
            return f" Give it the game's own: {again(domain__environment__full_actions=False)}"
    return " Choose the task, and its version and options, that the agent was trained on."
