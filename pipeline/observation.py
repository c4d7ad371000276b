"""Observations as environments give them out: the arrays inside by name, and copies that no later step can change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.keys import Keys, apart, flattened, key_names

UNCHANGING = frozenset([bool, int, float, str, type(None)])
"""Types of most infos; asking for them first takes a tenth of the time of asking for a Mapping."""


def observation_arrays(observation: Any, name: str = "") -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of an observation by name: of a nested one `a` and `b/c`, each behind `name/` where a name is given.

    Keys become names as `pipeline.keys` says. Raises InvalidInput for a key that has no name.

    >>> sorted(observation_arrays({"a": [1, 2], "b": {"c": 3}}, "observation"))
    ['observation/a', 'observation/b/c']
    >>> list(observation_arrays(np.zeros(3)))
    ['']
    """
    if not isinstance(observation, Mapping):
        return {name: np.asarray(observation)}
    before = f"{name}/" if name else ""
    found = dict(flattened(observation))
    return {f"{before}{each}": np.asarray(found[keys]) for keys, each in observation_names(found).items()}


def observation_names(paths: Iterable[Keys]) -> dict[Keys, str]:
    """The names of all arrays of a nested observation, which lie side by side on disk. Raises InvalidInput."""
    known = tuple(paths)
    if all(type(key) is str for keys in known for key in keys):
        return _names_of_texts(known)  # 1 and True are equal, and would be taken for each other there
    return _names(known)


def _names(paths: tuple[Keys, ...]) -> dict[Keys, str]:
    names = key_names(paths)
    if unnamed := [keys for keys in paths if keys not in names]:
        raise InvalidInput(f"The key {unnamed[0][-1]!r} of an observation cannot name an array. Use a text.")
    places = apart(tuple(names.values()))
    return {keys: places[name] for keys, name in names.items()}


_names_of_texts = lru_cache(maxsize=1024)(_names)


def observation_copy(observation: Any) -> Any:
    """An observation of ours: arrays with their own dtype, mappings, and sequences as mappings from `0`, `1`, ...

    A text stays one.
    """
    if type(observation) is np.ndarray:
        return observation.copy()
    if isinstance(observation, Mapping):
        return {key: observation_copy(value) for key, value in observation.items()}
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
