"""An episode as Minari keeps it: its arrays by their places, and what it says once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped

from pipeline.dataset.columns import RowSpec, beside
from pipeline.dataset.ends import implied_reason
from pipeline.dataset.per_episode import once_of
from pipeline.episode import INFO, INFO_TEXTS, PRESENT, UNKNOWN, Episode
from pipeline.sources.minari.layout import (
    ACTIONS,
    LAST_PLACE,
    RESET_PLACE,
    REWARDS,
    TERMINATIONS,
    TRUNCATIONS,
    ArrayPlace,
)


def minari_arrays(
    episode: Episode, rows: Mapping[str, RowSpec], places: Sequence[ArrayPlace]
) -> dict[str, Shaped[np.ndarray, "_ ..."]]:
    """The arrays of an episode by their places.

    Row t+1 of an info is what step t said, row 0 what the reset said.
    """
    steps, length = beside(episode, rows), episode.length
    arrays: dict[str, np.ndarray] = {REWARDS: steps["reward"][:-1]}
    for name, last in ((TERMINATIONS, episode.terminated), (TRUNCATIONS, episode.truncated)):
        arrays[name] = np.zeros(length, np.bool_)
        arrays[name][-1] = last
    for place in places:
        array = steps[place.name]
        if place.is_info:
            array = _moved(array, _reset_row(episode, place))
        arrays[place.at] = array[:-1] if place.at == ACTIONS else array
    return arrays


def minari_facts(episode: Episode, number: int) -> dict[str, bool | int | str]:
    """What an episode says once, by the names of Minari and of ours; what is unknown or implied is left out."""
    once = once_of(episode)
    implied = {
        "seed": UNKNOWN,
        "success": UNKNOWN,
        "mission": "",
        "end_reason": implied_reason(episode.terminated, episode.truncated),
        "has_final_observation": True,
        "has_final_reward": True,
        INFO_TEXTS: "",
    }
    known = {name: once[name] for name, value in implied.items() if once[name] != value}
    return {"id": number, "total_steps": episode.length, **known}


def reset_attributes(episode: Episode) -> dict[str, Num[np.ndarray, "..."]]:
    """`reset_info/<name>` of what the reset said, and `last_row/<name>` of infos that do not end with zeros."""
    found = {f"{RESET_PLACE}{name}": array for name, array in episode.reset_info.items()}
    for name, array in episode.steps.items():
        if name.startswith(INFO) and array[-1].tobytes().strip(b"\0"):
            found[f"{LAST_PLACE}{name}"] = array[-1]
    return found


def _moved(array: Shaped[np.ndarray, "rows *row"], first: Any) -> Shaped[np.ndarray, "rows *row"]:
    """One row later; the last row, which stands for nothing, goes."""
    moved = np.empty_like(array)
    moved[0] = first
    moved[1:] = array[:-1]
    return moved


def _reset_row(episode: Episode, place: ArrayPlace) -> Any:
    """What the reset said of an info, or whether it did; zero where it did not."""
    name = place.name.removeprefix(INFO).removeprefix(PRESENT)
    value = episode.reset_info.get(name)
    if place.name.startswith(PRESENT):
        return value is not None
    return 0 if value is None or (value.dtype, value.shape) != place.row else value
