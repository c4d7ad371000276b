"""Episodes of our own exports: exactly those that left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped

from pipeline.dataset.columns import RowSpec, without_absent
from pipeline.dataset.ends import implied_discounts, implied_reason
from pipeline.dataset.per_episode import ONCE, with_once
from pipeline.episode import Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.sources.absent import unfilled
from pipeline.sources.minari.layout import (
    ACTIONS,
    LAST_PLACE,
    RESET_PLACE,
    REWARDS,
    TERMINATIONS,
    TRUNCATIONS,
    ArrayPlace,
)
from pipeline.sources.minari.raw import RawEpisode


def own_minari_episode(raw: RawEpisode, places: Sequence[ArrayPlace], resets: Mapping[str, RowSpec]) -> Episode:
    """The episode of arrays that lie where the table of an export says."""
    rewards, flags = raw.array(REWARDS), (raw.array(TERMINATIONS), raw.array(TRUNCATIONS))
    terminated, truncated = (bool(each[-1]) for each in flags)
    steps = {
        "reward": with_last_row("reward", rewards),
        "discount": implied_discounts(len(rewards), terminated),
        **_arrays(raw, places, len(rewards)),
    }
    once = {"end_reason": implied_reason(terminated, truncated), "terminated": terminated, "truncated": truncated}
    once |= {name: _text(raw.facts[name]) for name in ONCE if name in raw.facts}
    return unfilled(with_once(without_absent(steps), once, _resets(raw, resets)))


def _arrays(raw: RawEpisode, places: Sequence[ArrayPlace], length: int) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    found = {"/".join(path): leaf for path, leaf in raw.leaves.items()}
    arrays = {}
    for place in places:
        array = _array(found.get(place.at), place, length, raw.where)
        if place.is_info:
            array = _moved_back(array, raw.facts.get(f"{LAST_PLACE}{place.name}", 0))
        arrays[place.name] = array
    return arrays


def _array(leaf: Any, place: ArrayPlace, length: int, where: str) -> Shaped[np.ndarray, "rows ..."]:
    """T+1 rows of the dtype and shape that the table says."""
    rows = length if place.at == ACTIONS else length + 1
    shape = (rows, *place.row.shape)
    fits = isinstance(leaf, np.ndarray) and leaf.dtype == place.row.dtype and len(leaf) == rows
    if not fits or leaf.size != prod(shape):
        there = f"{leaf.dtype}{[*leaf.shape]}" if isinstance(leaf, np.ndarray) else "nothing like it"
        raise InvalidInput(
            f"{where}: {place.at} should be {place.row.dtype}{[*shape]}, as the table in metadata.json says; there is "
            f"{there}."
        )
    array = leaf.reshape(shape)
    return with_last_row(place.name, array) if place.at == ACTIONS else array


def _moved_back(array: Shaped[np.ndarray, "rows *row"], last: Any) -> Shaped[np.ndarray, "rows *row"]:
    moved = np.empty_like(array)
    moved[:-1] = array[1:]
    moved[-1] = last
    return moved


def _resets(raw: RawEpisode, resets: Mapping[str, RowSpec]) -> dict[str, Num[np.ndarray, "..."]]:
    """What the reset said; texts of JSON get their dtype back."""
    found = {}
    for name, row in resets.items():
        value = raw.facts.get(f"{RESET_PLACE}{name}")
        if value is not None:
            found[name] = np.asarray(value, row.dtype).reshape(row.shape)
    return found


def _text(value: Any) -> Any:
    """A text that lay there as its bytes, for it holds a zero; anything else as it is."""
    is_bytes = isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 1
    return value.tobytes().decode() if is_bytes else value
