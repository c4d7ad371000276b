"""Actions as texts: the name of a discrete one, its number where it has no name, the numbers of a continuous one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Shaped

from pipeline.domains.actions import action_names
from pipeline.formats.aspects import Aspect

BECOMES: Mapping[Aspect, str] = {
    Aspect.DTYPES: "dropped",
    Aspect.OBSERVATIONS: "dropped",
    Aspect.REWARDS: "dropped",
    Aspect.ACTIONS: "texts",
}
"""What becomes of what every dataset has, in a file of screens and texts."""

UNKNOWN_ACTION = "UNKNOWN"
"""A number beyond the names of a dataset."""


class ActionTexts:
    """The actions of one dataset as texts.

    A discrete action with names is its name (`DOWNRIGHT`); without, its number (`3`). All other actions are printed as
    lists, whole numbers as they are and real numbers with up to four significant digits: `[0.1235, -1, 5e-05]`.

    Args:
        parameters: of the dataset's manifest.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        names = action_names(parameters)
        self.names = [names[number] for number in range(len(names))]

    def clean(self, actions: Shaped[np.ndarray, "n ..."]) -> pa.StringArray:
        """`DOWNRIGHT`."""
        if not _is_discrete(actions):
            return pa.array(_printed(actions), pa.string())
        numbers = actions.reshape(len(actions)).astype(np.int64)
        if not self.names:
            return pa.array(numbers).cast(pa.string())
        known = (numbers >= 0) & (numbers < len(self.names))
        pool = pa.array([*self.names, UNKNOWN_ACTION], pa.string())
        return pool.take(pa.array(np.where(known, numbers, len(self.names))))

    def raw(self, actions: Shaped[np.ndarray, "n ..."]) -> pa.StringArray:
        """`8: DOWNRIGHT`, as an action file says it; without names the same as `clean`."""
        clean = self.clean(actions)
        if not self.names or not _is_discrete(actions):
            return clean
        numbers = pa.array(actions.reshape(len(actions)).astype(np.int64)).cast(pa.string())
        return pc.binary_join_element_wise(numbers, clean, ": ")


def _is_discrete(actions: Shaped[np.ndarray, "n ..."]) -> bool:
    return actions.dtype.kind in "iub" and int(np.prod(actions.shape[1:])) == 1


def _printed(actions: Shaped[np.ndarray, "n ..."]) -> list[str]:
    """Each action as a list of lists, as deep as it has axes."""
    number = "%.4g" if actions.dtype.kind == "f" else "%d"
    template = number
    for size in reversed(actions.shape[1:]):
        template = f"[{', '.join([template] * size)}]"
    whole = actions + 0.0 if actions.dtype.kind == "f" else actions  # -0.0 becomes 0.0
    return [template % tuple(row) for row in whole.reshape(len(actions), -1).tolist()]
