"""How the observations of an environment are laid out, and copies of them in that layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from jaxtyping import Shaped

from pipeline.envs.gym.text import holds_texts
from pipeline.errors import InvalidInput
from pipeline.exact import NUMBERS
from pipeline.interfaces import Observation
from pipeline.keys import Keys
from pipeline.observation import observation_copy, observation_names

MISSION = "mission"
"""Key of an observation whose text is the episode's mission."""

OBSERVATION = "observation"
"""Name of the one array of an observation, or of the folder of its arrays."""

Copy = Callable[[Any], Any]
"""An observation as it was handed out -> our copy of it."""


class OneArray(NamedTuple):
    """One array, of one environment."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


ObservationLayout = OneArray | Mapping[Any, "ObservationLayout"]
"""One array, or a mapping; parts of a Tuple have the keys `0`, `1`, ..."""


def layout_of_space(space: spaces.Space[Any], name: str = "") -> ObservationLayout:
    """The layout of a Gymnasium space. Raises InvalidInput, with the name of the space, where it cannot be stored."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        items = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate_as_texts(space.spaces)
        parts = {key: part for key, part in items if name or key != MISSION or not holds_texts(part)}
        if not parts:
            raise InvalidInput(f"{_what(name)} holds nothing that can be stored: {space}.")
        return {key: layout_of_space(part, f"{name}/{key}" if name else str(key)) for key, part in parts.items()}
    if space is None or space.shape is None or space.dtype is None or np.dtype(space.dtype).kind not in NUMBERS:
        raise InvalidInput(
            f"{_what(name)} is of the space {type(space).__name__}, which cannot be recorded: {space}. Supported "
            f"are Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple of these, and in the outermost Dict a Text "
            f"with the key {MISSION}. Make it one of these with gymnasium.wrappers.TransformObservation, and wrap that."
        )
    return OneArray(tuple(space.shape), np.dtype(space.dtype))


def layout_copy(layout: ObservationLayout) -> Copy:
    """Copies observations, whatever holds them: a list or a tensor where one array belongs is one array.

    What the layout does not know, and what is no mapping or sequence where it has one, is copied as it is.
    """
    if isinstance(layout, OneArray):
        return _array_copy(layout.shape)
    parts = {key: layout_copy(inner) for key, inner in layout.items()}

    def copy(value: Any) -> Observation:
        if isinstance(value, tuple | list):
            value = dict(enumerate_as_texts(value))
        elif not isinstance(value, Mapping):
            return observation_copy(value)
        return {key: parts.get(key, observation_copy)(inner) for key, inner in value.items()}

    return copy


def layout_dtypes(layout: ObservationLayout) -> dict[str, np.dtype[Any]]:
    """The dtype of each array by the name that it is stored under: `observation`, or `observation/<key>`."""
    if isinstance(layout, OneArray):
        return {OBSERVATION: layout.dtype}
    leaves = dict(_leaves(layout))
    return {f"{OBSERVATION}/{name}": leaves[keys].dtype for keys, name in observation_names(leaves).items()}


def enumerate_as_texts(parts: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a tuple with the keys `0`, `1`, ..."""
    return ((str(place), part) for place, part in enumerate(parts))


def in_shape(array: Shaped[np.ndarray, "..."], shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    """The array in the wanted shape where that differs by axes of length 1 alone, else as it is.

    Other shapes with as many numbers would mix them up: a picture whose channels come last is not one where they come
    first.
    """
    return array if array.shape == shape or _long_axes(array.shape) != _long_axes(shape) else array.reshape(shape)


def _long_axes(shape: tuple[int, ...]) -> list[int]:
    return [length for length in shape if length != 1]


def _array_copy(shape: tuple[int, ...]) -> Copy:
    def copy(value: Any) -> Observation:
        if type(value) is np.ndarray:
            return value.copy() if value.shape == shape else in_shape(value.copy(), shape)
        if isinstance(value, Mapping):
            return observation_copy(value)
        return in_shape(np.array(np.asarray(value)), shape)

    return copy


def _leaves(layout: Mapping[Any, ObservationLayout], before: Keys = ()) -> Iterator[tuple[Keys, OneArray]]:
    for key, inner in layout.items():
        if isinstance(inner, OneArray):
            yield (*before, key), inner
        else:
            yield from _leaves(inner, (*before, key))


def _what(name: str) -> str:
    return f"The observation {name}" if name else "The observation"
