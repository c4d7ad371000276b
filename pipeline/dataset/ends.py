"""What the two flags of an episode's end imply, where a form keeps nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64, Int64

BLOCK = 2**16
"""States that are read at a time."""

ENDED_BY = {(True, False): "terminated", (True, True): "terminated", (False, True): "time_limit"}
"""The end reason that `terminated` and `truncated` say; a log that simply stops ended by its `source`."""


def implied_reason(terminated: bool, truncated: bool) -> str:
    """The end reason that the two flags alone say.

    >>> implied_reason(True, False), implied_reason(False, True), implied_reason(False, False)
    ('terminated', 'time_limit', 'source')
    """
    return ENDED_BY.get((terminated, truncated), "source")


def implied_discounts(length: int, terminated: bool) -> Float64[np.ndarray, "length+1"]:
    """The discounts of an episode of which none are kept: 1, but 0 where it terminates and on the last row.

    >>> implied_discounts(3, True)
    array([1., 1., 0., 0.])
    """
    discounts = np.ones(length + 1)
    discounts[-1] = 0
    if terminated:
        discounts[-2] = 0
    return discounts


def own_discounts(
    read: Callable[[int, int], Float64[np.ndarray, " states"]],
    state_ends: Int64[np.ndarray, " n"],
    terminated: Bool[np.ndarray, " n"],
) -> bool:
    """Whether some discount of episodes is another than their ends imply; `read` gives those of the states [a, b)."""
    lasts, states = state_ends - 1, int(state_ends[-1]) if len(state_ends) else 0
    for start in range(0, states, BLOCK):
        stop = min(start + BLOCK, states)
        first, last = np.searchsorted(lasts, (start, stop))
        implied = np.ones(stop - start)
        implied[lasts[first:last] - start] = np.where(terminated[first:last], 0.0, 1.0)
        if (read(start, stop) != implied).any():
            return True
    return False
