"""Copies of what goes into and comes out of an environment, which may write into the same arrays at its next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.interfaces import Observation

MISSION = "mission"
"""Key of an observation whose text is the episode's mission."""


def observation_copy(observation: Any) -> Any:
    """An observation of ours: arrays with their own dtype, mappings, and sequences as mappings from `0`, `1`, ...

    A text stays one; `take_mission` finds its place.
    """
    if type(observation) is np.ndarray:
        return observation.copy()
    if isinstance(observation, Mapping):
        return {str(key): observation_copy(value) for key, value in observation.items()}
    if isinstance(observation, list | tuple):
        return {str(index): observation_copy(value) for index, value in enumerate(observation)}
    return observation if isinstance(observation, str) else np.array(observation)


def take_mission(observation: Any) -> tuple[Observation, str]:
    """The observation without a text named `mission`, and that text."""
    if isinstance(observation, dict) and isinstance(mission := observation.get(MISSION), str):
        return {key: value for key, value in observation.items() if key != MISSION}, mission
    return observation, ""


def action_copy(action: Any, dtype: np.dtype) -> np.ndarray:
    """One action or a batch of them, in the dtype of the action space.

    Raises InvalidInput where that would change it by more than rounding, such as 0.7 for an integer.
    """
    array = np.asarray(action)
    if array.dtype != dtype and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise InvalidInput(f"An action is {array.dtype}, but the action space holds {dtype}.")
    return array.astype(dtype)
