"""Actions of Gymnasium spaces as one array, and taken apart again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.exact import rounded
from pipeline.interfaces import ArraySpec

SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these with whole or real numbers alone"


class FlatActions:
    """The actions of one environment.

    A Box, Discrete, MultiDiscrete or MultiBinary is itself: its own shape and dtype, Discrete a scalar. The parts of a
    Dict or Tuple, nested or not, are flattened (row after row) and joined in the order of the space, that is the order
    in which Gymnasium lists its keys; they must all hold whole numbers, or all real ones.

    Attributes:
        spec: shape, dtype and bounds, both included, of the one array.
        layout: JSON facts of each part: its `name` (keys joined by `/`), its space, and `at`, its first and one past
            its last place in the flat array.

    Raises InvalidInput for other spaces, and for a mixture of whole and real numbers.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self._space, self._parts = space, list(_parts(space, "", 0))
        self._joined = isinstance(space, spaces.Dict | spaces.Tuple)
        if not self._parts:
            raise InvalidInput(f"The action space {space} is empty: there is nothing to do.")
        self.spec = self._joined_spec() if self._joined else self._parts[0].spec
        self.layout = [part.facts() for part in self._parts]
        self._discrete: tuple[int, int, type[np.generic]] | None = None  # its first and last action, and their type
        if isinstance(space, spaces.Discrete):
            self._discrete = int(space.start), int(space.start + space.n) - 1, self.spec.dtype.type

    def taken_apart(self, action: Shaped[np.ndarray, "..."]) -> Any:
        """The action as the environment's space has it. Raises InvalidInput for whole numbers beyond their bounds.

        Real numbers beyond their bounds are handed on: environments clip, scale or refuse them, each in its own way.
        """
        if self._discrete:
            first, last, scalar = self._discrete
            if first <= (number := action.item()) <= last:  # nearly always
                return scalar(number)
        if self.spec.dtype.kind in "iub" and ((action < self.spec.low) | (action > self.spec.high)).any():
            raise InvalidInput(
                f"The environment takes actions from {_short(self.spec.low)} to {_short(self.spec.high)}; it was given "
                f"{_short(action)}."
            )
        if not self._joined:
            return self._parts[0].value(np.ravel(action))
        values = iter([part.value(action[part.start : part.stop]) for part in self._parts])
        return _nested(self._space, values)

    def joined(self, action: Any) -> Shaped[np.ndarray, "..."]:
        """The one array of an action of the environment's space; the inverse of `taken_apart`.

        Raises InvalidInput for a part of another shape, and for numbers that its dtype does not hold.
        """
        flat = [part.flat(value) for part, value in zip(self._parts, _leaves(self._space, action), strict=True)]
        return np.concatenate(flat).astype(self.spec.dtype) if self._joined else flat[0].reshape(self.spec.shape)

    def _joined_spec(self) -> ArraySpec:
        specs = [part.spec for part in self._parts]
        dtype = np.result_type(*(spec.dtype for spec in specs))
        whole = {spec.dtype.kind in "iub" for spec in specs}
        if len(whole) > 1 or (dtype.kind in "iub") not in whole:
            kinds = ", ".join(f"{part.name} {part.spec.dtype}" for part in self._parts)
            raise InvalidInput(
                f"The parts of the action have no number type in common: {kinds}. Supported are {SUPPORTED}."
            )
        low = np.concatenate([np.ravel(np.asarray(spec.low)) for spec in specs]).astype(dtype)
        high = np.concatenate([np.ravel(np.asarray(spec.high)) for spec in specs]).astype(dtype)
        return ArraySpec(low.shape, dtype, low, high)


@dataclass(frozen=True)
class _Part:
    """One array of an action, at `start` in the flat one."""

    name: str
    space: spaces.Space[Any]
    spec: ArraySpec
    start: int

    @property
    def stop(self) -> int:
        return self.start + int(np.prod(self.spec.shape))

    def value(self, flat: Shaped[np.ndarray, "n"]) -> Any:
        """What the space's own `sample` would give."""
        if isinstance(self.space, spaces.Discrete):
            return self.spec.dtype.type(flat[0])
        if (fitting := rounded(flat, self.spec.dtype)) is None:
            raise InvalidInput(f"The action {self.name} is {self.spec.dtype}, which cannot hold {_short(flat)}.")
        return np.array(fitting).reshape(self.spec.shape)

    def flat(self, value: Any) -> Shaped[np.ndarray, "n"]:
        """The inverse of `value`."""
        array = np.array(np.asarray(value))
        if array.size != self.stop - self.start or (fitting := rounded(array, self.spec.dtype)) is None:
            raise InvalidInput(
                f"The action {self.name} is {self.spec.dtype} of shape {self.spec.shape}, which cannot hold "
                f"{_short(array)}."
            )
        return np.ravel(fitting)

    def facts(self) -> dict[str, Any]:
        facts = {"name": self.name, "space": type(self.space).__name__, "dtype": str(self.spec.dtype)}
        place = {"shape": list(self.spec.shape), "at": [self.start, self.stop]}
        if isinstance(self.space, spaces.Discrete | spaces.MultiDiscrete):
            first, last = np.asarray(self.spec.low).tolist(), np.asarray(self.spec.high).tolist()
            return {**facts, **place, "first": first, "last": last}
        return {**facts, **place}


def _parts(space: spaces.Space[Any], name: str, start: int) -> Iterator[_Part]:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        items = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, inner in items:
            for part in _parts(inner, f"{name}/{key}" if name else str(key), start):
                yield part
                start = part.stop
        return
    yield _Part(name, space, _spec(space, name), start)


def _spec(space: spaces.Space[Any], name: str) -> ArraySpec:
    if isinstance(space, spaces.Box):
        return ArraySpec(tuple(space.shape), np.dtype(space.dtype), space.low, space.high)
    if isinstance(space, spaces.Discrete):
        dtype = np.dtype(space.dtype)
        first = int(space.start)
        return ArraySpec((), dtype, np.asarray(first, dtype), np.asarray(first + int(space.n) - 1, dtype))
    if isinstance(space, spaces.MultiDiscrete):
        dtype = np.dtype(space.dtype)
        low = np.asarray(space.start, dtype)
        return ArraySpec(tuple(space.shape), dtype, low, (low + (space.nvec - 1)).astype(dtype))
    if isinstance(space, spaces.MultiBinary):
        shape, dtype = tuple(space.shape), np.dtype(space.dtype)
        return ArraySpec(shape, dtype, np.zeros(shape, dtype), np.ones(shape, dtype))
    what = f"The action {name}" if name else "The action"
    raise InvalidInput(
        f"{what} is of the space {type(space).__name__}: {space}. Supported are {SUPPORTED}. Turn it into one of these "
        f"with gymnasium.wrappers.TransformAction."
    )


def _nested(space: spaces.Space[Any], values: Iterator[Any]) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _nested(inner, values) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_nested(inner, values) for inner in space.spaces)
    return next(values)


def _leaves(space: spaces.Space[Any], action: Any) -> Iterator[Any]:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        items = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, inner in items:
            yield from _leaves(inner, action[key])
    else:
        yield action


def _short(array: Any) -> str:
    return np.array2string(np.asarray(array), threshold=8, separator=", ")
