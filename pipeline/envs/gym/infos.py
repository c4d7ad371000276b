"""Whether an episode succeeded, from the infos of a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.episode import UNKNOWN

SUCCESS = ("is_success", "success")
"""Keys of infos that say whether the task is solved."""


def success_of(info: Mapping[str, Any]) -> int:
    """1 or 0 where the info says so, else UNKNOWN."""
    if info:
        for key in SUCCESS:
            if key in info and np.ndim(info[key]) == 0:
                return int(bool(info[key]))
    return UNKNOWN
