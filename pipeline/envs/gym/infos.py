"""What the infos of a Gymnasium environment say: success, the end of an episode, and what is to be kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput
from pipeline.observation import UNCHANGING, info_copy

SUCCESS = ("is_success", "success")
"""Keys of infos that say whether the task is solved."""

FINAL_OBSERVATION = ("final_obs", "final_observation", "terminal_observation")
"""Keys under which what resets by itself hands out the last observation; names of Gymnasium 1, 0.29 and of SB3."""

FINAL_INFO = "final_info"

ENDING = frozenset((*FINAL_OBSERVATION, FINAL_INFO))
"""Keys of what belongs to an episode's end."""

NO_INFO = ENDING | {f"_{key}" for key in ENDING}
"""What is no info of a step, masks included."""


def kept_info(info: Any) -> dict[Any, Any]:
    """A copy of an info without what belongs to an episode's end; empty where there is none.

    Raises InvalidInput where it is no mapping.
    """
    if info is None:
        return {}
    if type(info) is not dict and not isinstance(info, Mapping):  # asking for a type takes a tenth of the time
        raise InvalidInput(f"The info that reset() and step() give should be a mapping; it is {type(info).__name__}.")
    if not info:
        return {}
    if NO_INFO.isdisjoint(info) and UNCHANGING.issuperset(map(type, info.values())):  # nearly always
        return dict(info)
    return {
        key: value if type(value) in UNCHANGING else info_copy(value)
        for key, value in info.items()
        if key not in NO_INFO
    }


def success_of(info: Mapping[Any, Any]) -> int:
    """1 or 0 where the info says so, else UNKNOWN: None, NaN and what is not one number say nothing."""
    if info:
        for key in SUCCESS:
            if key in info and (success := _success(info[key])) != UNKNOWN:
                return success
    return UNKNOWN


def final_observation(info: Any) -> Any:
    """The last observation of an episode whose environment has begun the next one already; None without one.

    A gym.Env that hands it out does so at the end alone.
    """
    found = (info.get(key) for key in FINAL_OBSERVATION) if isinstance(info, Mapping) else iter(())
    return next((each for each in found if each is not None), None)


def _success(value: Any) -> int:
    if not isinstance(value, bool | int | float):
        array = np.asarray(info_copy(value), None if isinstance(value, np.ndarray | np.generic) else object)
        value = array.item() if array.size == 1 else None
    if not isinstance(value, bool | int | float) or math.isnan(value):
        return UNKNOWN
    return int(bool(value))
