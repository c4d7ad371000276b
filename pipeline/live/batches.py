"""Taking the batches of a vector environment apart: what one environment would have given by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from pipeline.observation import info_copy

ONE_ARRAY = gym.spaces.Box | gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary
"""Spaces whose batch is one array with an axis in front."""


def split_observations(space: gym.Space, batch: Any, count: int) -> list[Any]:
    """Split a batch into the observations of its `count` environments; `space` is the space of one environment.

    The batch is copied once, as a whole. As in `observation_copy`, Dict and Tuple become mappings, and what is not an
    array stays as it is.
    """
    if isinstance(space, gym.spaces.Dict):
        return _joined({key: split_observations(inner, batch[key], count) for key, inner in space.items()}, count)
    if isinstance(space, gym.spaces.Tuple):
        parts = {str(k): split_observations(inner, batch[k], count) for k, inner in enumerate(space.spaces)}
        return _joined(parts, count)
    return list(np.array(batch)) if isinstance(space, ONE_ARRAY) else list(batch)


def cast_like(observation: Any, other: Any) -> Any:
    """Cast a copied observation to the dtypes of another.

    A batch has the dtypes of its space; the observation of one environment may have others.
    """
    if isinstance(other, dict):
        return {key: cast_like(observation[key], inner) for key, inner in other.items()}
    return np.asarray(observation, other.dtype) if isinstance(other, np.ndarray | np.generic) else observation


def one_info(infos: Mapping[str, Any] | Sequence[Mapping[str, Any]], index: int, count: int) -> dict[str, Any]:
    """A copy of the info of environment `index` of `count`.

    A key belongs to the environments that its mask `_<key>` marks. A key without a mask belongs to all of them, and so
    does a value that is not a sequence of length `count`. `infos` may also be a list with one info for each
    environment.
    """
    if not isinstance(infos, Mapping):
        return {key: info_copy(value) for key, value in infos[index].items()}
    found = {}
    masks = {f"_{key}" for key in infos if f"_{key}" in infos}
    for key, value in infos.items():
        if key in masks or (f"_{key}" in infos and not infos[f"_{key}"][index]):
            continue
        if isinstance(value, Mapping):
            found[key] = one_info(value, index, count)
        elif isinstance(value, np.ndarray | list | tuple) and len(value) == count:
            found[key] = info_copy(value[index])
        else:
            found[key] = info_copy(value)
    return found


def _joined(parts: dict[str, list[Any]], count: int) -> list[Any]:
    return [{name: values[i] for name, values in parts.items()} for i in range(count)]
