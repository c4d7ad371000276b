"""Observations as environments give them out: the arrays inside by name, and copies that no later step can change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

UNCHANGING = frozenset([bool, int, float, str, type(None)])
"""Types of most infos; asking for them first takes a tenth of the time of asking for a Mapping."""


def observation_arrays(observation: Any, name: str = "") -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of an observation by name: of a nested one `a` and `b/c`, each behind `name/` where a name is given.

    >>> sorted(observation_arrays({"a": [1, 2], "b": {"c": 3}}, "observation"))
    ['observation/a', 'observation/b/c']
    >>> list(observation_arrays(np.zeros(3)))
    ['']
    """
    if not isinstance(observation, Mapping):
        return {name: np.asarray(observation)}
    found: dict[str, np.ndarray] = {}
    for key, inner in observation.items():
        found.update(observation_arrays(inner, f"{name}/{key}" if name else str(key)))
    return found


def observation_copy(observation: Any) -> Any:
    """An observation of ours: arrays with their own dtype, mappings, and sequences as mappings from `0`, `1`, ...

    A text stays one.
    """
    if type(observation) is np.ndarray:
        return observation.copy()
    if isinstance(observation, Mapping):
        return {str(key): observation_copy(value) for key, value in observation.items()}
    if isinstance(observation, list | tuple):
        return {str(index): observation_copy(value) for index, value in enumerate(observation)}
    return observation if isinstance(observation, str) else np.array(observation)


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
