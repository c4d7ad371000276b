"""Taking the batches of a vector environment apart: what one environment would have given by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from pipeline.envs.gym.infos import ENDING, NO_INFO, kept_info
from pipeline.envs.gym.text import holds_texts
from pipeline.errors import InvalidInput
from pipeline.live.layout import enumerate_as_texts, in_shape
from pipeline.observation import UNCHANGING, info_copy

Infos = Mapping[Any, Any] | Sequence[Mapping[Any, Any]] | None
"""Infos of all environments: of each key all values, or a list of one info for each."""


def batch_copy(space: gym.Space, batch: Any, count: int) -> Any:
    """A copy of a batch of observations of `count` environments; `space` is the space of one environment.

    Each array is copied once, as a whole. Dict and Tuple become mappings, texts a list of them. Raises InvalidInput for
    a batch of another number of rows.
    """
    if isinstance(space, gym.spaces.Dict):
        return {key: batch_copy(inner, batch[key], count) for key, inner in space.items()}
    if isinstance(space, gym.spaces.Tuple):
        return {k: batch_copy(inner, batch[int(k)], count) for k, inner in enumerate_as_texts(space.spaces)}
    if holds_texts(space):
        return list(batch)
    copied = in_shape(np.array(np.asarray(batch)), (count, *(space.shape or ())))
    if copied.shape[:1] != (count,):
        rows = len(copied) if copied.ndim else "none"
        raise InvalidInput(
            f"A batch of observations should have {count} rows, one for each environment; it has {rows}."
        )
    return copied


def one_of(batch: Any, index: int) -> Any:
    """The observation of environment `index` in a `batch_copy`."""
    return {key: one_of(inner, index) for key, inner in batch.items()} if type(batch) is dict else batch[index]


def has_info(infos: Infos) -> bool:
    """Whether there is any info, aside from what belongs to an episode's end."""
    return bool(infos) and not (isinstance(infos, Mapping) and NO_INFO.issuperset(infos))


def one_info(infos: Infos, index: int, count: int) -> dict[Any, Any]:
    """A copy of the info of environment `index` of `count`, without what belongs to an episode's end.

    A key belongs to the environments that its mask `_<key>` marks. A key without a mask belongs to all of them, and so
    does a value that is not a sequence of length `count`.
    """
    if not isinstance(infos, Mapping):
        return kept_info(infos[index]) if infos else {}
    return _of_one({key: value for key, value in infos.items() if key not in NO_INFO}, index, count)


def ending_info(infos: Infos, index: int, count: int) -> dict[Any, Any]:
    """What belongs to the end of the episode of environment `index`, not copied where it is a list of infos."""
    if not isinstance(infos, Mapping):
        return {key: value for key, value in (infos[index] or {}).items() if key in ENDING} if infos else {}
    return _of_one({key: value for key, value in infos.items() if key in NO_INFO}, index, count)


def _of_one(infos: Mapping[Any, Any], index: int, count: int) -> dict[Any, Any]:
    found = {}
    masks = {f"_{key}" for key in infos if f"_{key}" in infos}
    for key, value in infos.items():
        if key in masks or (f"_{key}" in infos and not infos[f"_{key}"][index]):
            continue
        if isinstance(value, Mapping):
            found[key] = _of_one(value, index, count)
        elif _is_batch(value, count):
            found[key] = value[index] if type(value[index]) in UNCHANGING else info_copy(value[index])
        else:
            found[key] = info_copy(value)
    return found


def _is_batch(value: Any, count: int) -> bool:
    """Whether it has one value for each environment: a sequence, an array, a tensor."""
    shape = [len(value)] if isinstance(value, list | tuple) else list(getattr(value, "shape", ()))
    return shape[:1] == [count]
