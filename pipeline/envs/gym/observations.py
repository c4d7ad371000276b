"""Observations of Gymnasium spaces as arrays and mappings of them, checked against what the space promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Shaped, UInt32

from pipeline.envs.gym.text import code_points, holds_texts
from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, exactly, rounded
from pipeline.interfaces import Observation
from pipeline.observation import observation_names

SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, Text, and Dict and Tuple of these"

ARRAYS = (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)

Read = Callable[[Any], Observation]
"""One value of a space -> our copy of it."""


class Observations:
    """Reads the observations of one environment.

    Box, MultiDiscrete and MultiBinary become arrays of the space's shape and dtype, Discrete an int64 scalar, Text
    (max_length,) uint32 code points, Dict a mapping, Tuple a mapping from `0`, `1`, ... What is read is a copy.

    Args:
        space: the observation space.
        mission: key of the text in a Dict that is the episode's mission, and no part of the observation.
        rounding: real numbers of more digits than the space's dtype are rounded to it.

    Raises InvalidInput for spaces whose values have no fixed size.
    """

    def __init__(self, space: spaces.Space[Any], mission: str | None = None, rounding: bool = False) -> None:
        self._mission: str | None = None
        parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {}
        if mission in parts and holds_texts(parts[mission]):
            self._mission = mission
            del parts[mission]
            space = spaces.Dict(parts)
        self._read = _reader(space, "", rounding)

    def read(self, value: Any) -> tuple[Observation, str]:
        """An observation, and the mission in it. Raises InvalidInput where it is not what the space promises."""
        if self._mission is None:
            return self._read(value), ""
        if not isinstance(value, Mapping) or not isinstance(value.get(self._mission), str):
            raise InvalidInput(f"The observation should have the text {self._mission}; it is {_shown(value)}.")
        return self._read({key: each for key, each in value.items() if key != self._mission}), value[self._mission]


def _reader(space: spaces.Space[Any], name: str, rounding: bool) -> Read:
    if isinstance(space, spaces.Discrete):
        return _Array(name, (), np.dtype(np.int64), rounding)
    if isinstance(space, ARRAYS):
        return _Array(name, tuple(space.shape), np.dtype(space.dtype), rounding)
    if isinstance(space, spaces.Text):
        return _Text(name, int(space.max_length))
    if isinstance(space, spaces.Dict):
        return _Dict(name, {key: _reader(part, _below(name, key), rounding) for key, part in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return _Tuple(name, [_reader(part, _below(name, key), rounding) for key, part in enumerate(space.spaces)])
    raise InvalidInput(
        f"{_what(name)} is of the space {type(space).__name__}, whose values have no fixed size: {space}. Supported "
        f"are {SUPPORTED}. Turn it into one of these with gymnasium.wrappers.TransformObservation."
    )


@dataclass(frozen=True)
class _Array:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rounding: bool

    def __call__(self, value: Any) -> Shaped[np.ndarray, "..."]:
        if type(value) is np.ndarray and value.dtype == self.dtype and value.shape == self.shape:
            return value.copy()
        try:
            given = np.asarray(value)
        except ValueError:  # rows of several lengths
            given = np.empty((), object)
        if given.shape != self.shape or given.dtype.kind not in STORED_KINDS:
            raise InvalidInput(f"{self._wanted} It is {_shown(value)}.")
        fitting = (rounded if self.rounding else exactly)(given, self.dtype)
        if fitting is None:
            raise InvalidInput(
                f"{self._wanted} It is {given.dtype}, and some of its values have no equal there. Mend the "
                f"environment; or where real numbers only have too many digits, round them: domain.rounding=true"
            )
        return fitting.copy() if fitting is given else fitting

    @property
    def _wanted(self) -> str:
        return f"{_what(self.name)} should be {self.dtype} of shape {self.shape}, as its space says."


@dataclass(frozen=True)
class _Text:
    name: str
    length: int

    def __call__(self, value: Any) -> UInt32[np.ndarray, "length"]:
        if not isinstance(value, str):
            raise InvalidInput(f"{_what(self.name)} should be a text, as its space says. It is {_shown(value)}.")
        try:
            return code_points(value, self.length)
        except InvalidInput as error:
            raise InvalidInput(f"{_what(self.name)} is not as its space says: {error}") from None


class _Dict:
    def __init__(self, name: str, parts: Mapping[Any, Read]) -> None:
        self._name, self._parts = name, parts
        observation_names((key,) for key in parts)
        if not parts:
            raise InvalidInput(f"{_what(name)} is an empty Dict: there is nothing to store.")

    def __call__(self, value: Any) -> Observation:
        if not isinstance(value, Mapping) or set(value) != set(self._parts):
            raise InvalidInput(
                f"{_what(self._name)} should have the keys {_listed(self._parts)}, as its space says. "
                f"It is {_shown(value)}."
            )
        return {key: read(value[key]) for key, read in self._parts.items()}


class _Tuple:
    def __init__(self, name: str, parts: list[Read]) -> None:
        self._name, self._parts = name, parts
        if not parts:
            raise InvalidInput(f"{_what(name)} is an empty Tuple: there is nothing to store.")

    def __call__(self, value: Any) -> Observation:
        if not isinstance(value, tuple | list) or len(value) != len(self._parts):
            raise InvalidInput(
                f"{_what(self._name)} should be a tuple of {len(self._parts)}, as its space says. "
                f"It is {_shown(value)}."
            )
        return {str(place): read(each) for place, (read, each) in enumerate(zip(self._parts, value, strict=True))}


def _below(name: str, key: Any) -> str:
    return f"{name}/{key}" if name else str(key)


def _what(name: str) -> str:
    return f"The observation {name}" if name else "The observation"


def _listed(keys: Any) -> str:
    return ", ".join(sorted(map(str, keys)))


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a mapping with the keys {_listed(value)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__
