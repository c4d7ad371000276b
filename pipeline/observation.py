"""Observations as environments give them out: the arrays inside by name, and copies that no later step can change."""

from __future__ import annotations

from array import array as Buffer
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidEpisode, InvalidInput
from pipeline.keys import Keys, apart, flattened, key_names

UNCHANGING = frozenset([bool, int, float, str, type(None), np.bool_, np.int32, np.int64, np.float32, np.float64])
"""Types of most infos; asking for them first takes a tenth of the time of asking for a Mapping."""

BUFFERS = (bytearray, memoryview, Buffer)
"""Sequences that NumPy reads with their own types of numbers."""


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


def observation_columns(observations: Sequence[Any], name: str) -> dict[str, list[Shaped[np.ndarray, "..."]]]:
    """The arrays of several observations by name, each with one array for every observation.

    Raises InvalidEpisode where they have other names than the first one has.
    """
    if set(map(type, observations)) == {np.ndarray}:
        return {name: list(observations)}
    first = observation_arrays(observations[0], name)
    keys = dict(flattened(observations[0])) if isinstance(observations[0], Mapping) else {}
    if keys and all(type(key) is str for path in keys for key in path):  # 1 and True are equal
        rows = [dict(flattened(each)) if isinstance(each, Mapping) else {} for each in observations]
        if all(row.keys() == keys.keys() for row in rows):  # nearly always, and the names need not be made again
            return {each: [np.asarray(row[path]) for row in rows] for path, each in zip(keys, first, strict=True)}
    arrays = [observation_arrays(each, name) for each in observations]
    if differing := [sorted(row) for row in arrays if row.keys() != first.keys()]:
        raise InvalidEpisode(f"An observation has the arrays {differing[0]}, those before it have {sorted(first)}")
    return {each: [row[each] for row in arrays] for each in first}


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
    return observation if isinstance(observation, str) else np.array(np.asarray(observation))


@dataclass(frozen=True)
class NoData:
    """Stands where an info was of which no copy can be made: an object, a set, a tensor that needs a gradient."""

    kind: str


def info_copy(value: Any) -> Any:
    """An info that no later step can change: mappings as dicts, sequences as lists, arrays and what is like them (a
    tensor, a buffer) as arrays; `NoData` for anything else.
    """
    try:
        return _info_copy(value)
    except RecursionError:  # it holds itself
        return NoData(type(value).__name__)


def _info_copy(value: Any) -> Any:
    if type(value) in UNCHANGING or isinstance(value, np.generic):
        return value
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            return NoData("MaskedArray with masked values")
        return np.array(value) if value.dtype.kind != "O" else _info_copy(value.tolist())
    if isinstance(value, Mapping):
        return {key: _info_copy(inner) for key, inner in value.items()}
    if isinstance(value, str | int | float | complex | bytes):
        return value
    if isinstance(value, Sequence) and not isinstance(value, BUFFERS):
        each = list(value)
        return each if UNCHANGING.issuperset(map(type, each)) else [_info_copy(inner) for inner in each]
    return _array_of(value)


def _array_of(value: Any) -> Shaped[np.ndarray, "..."] | NoData:
    try:
        array = np.array(np.asarray(value))  # twice: what gives its own array when asked for a copy is copied here
    except RecursionError:
        raise
    except Exception:  # what looks like an array may raise anything
        return NoData(type(value).__name__)
    return NoData(type(value).__name__) if array.dtype.kind == "O" else array
