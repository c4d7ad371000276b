"""What a Gymnasium environment says besides: copies of it, and whether it tells success."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.episode import UNKNOWN

SUCCESS = ("is_success", "success")
"""Keys of infos that say whether the task is solved."""

UNCHANGING = frozenset([bool, int, float, str, type(None)])
"""Types of most infos; asking for them first takes a tenth of the time of asking for a Mapping."""


def success_of(info: Mapping[str, Any]) -> int:
    """1 or 0 where the info says so, else UNKNOWN."""
    if info:
        for key in SUCCESS:
            if key in info and np.ndim(info[key]) == 0:
                return int(bool(info[key]))
    return UNKNOWN


def info_copy(value: Any) -> Any:
    """An info that no later step can change, as far as it is made of arrays, mappings and sequences."""
    if type(value) in UNCHANGING or isinstance(value, np.generic):
        return value
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {key: info_copy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [info_copy(inner) for inner in value]
    return value
