"""What a recording takes from a step: the action as its space holds it, the mission out of an observation."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.exact import rounded
from pipeline.interfaces import Observation

MISSION = "mission"
"""Key of an observation whose text is the episode's mission."""


def take_mission(observation: Any) -> tuple[Observation, str]:
    """The observation without a text named `mission`, and that text."""
    if isinstance(observation, dict) and isinstance(mission := observation.get(MISSION), str):
        return {key: value for key, value in observation.items() if key != MISSION}, mission
    return observation, ""


def action_copy(action: Any, dtype: np.dtype) -> Shaped[np.ndarray, "..."]:
    """One action or a batch of them, in the dtype of the action space.

    Raises InvalidInput where that would change it by more than rounding, such as 0.7 for an integer, 200 for int8.
    """
    array = np.array(action)
    fitting = rounded(array, dtype)
    if fitting is None:
        given = np.array2string(array, threshold=8)
        raise InvalidInput(f"An action is {array.dtype}, but the action space holds {dtype}, which has no {given}.")
    return fitting
