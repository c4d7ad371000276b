"""What resets told, as once-per-episode arrays of a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.columns import Described, RowSpec
from pipeline.episode import RESET, Episode

ARRAYS, THERE = f"episodes/{RESET}", "episodes/reset_info_present/"
"""Prefixes of the arrays (n, ...), and of the masks (n,) of those that only some of the episodes have."""


def pack_resets(episodes: Sequence[Episode]) -> dict[str, Shaped[np.ndarray, "n ..."]]:
    """One array for each name; zeros for an episode without it, which a mask tells."""
    arrays: dict[str, np.ndarray] = {}
    for name in sorted({name for episode in episodes for name in episode.reset_info}):
        there = np.asarray([name in episode.reset_info for episode in episodes])
        first = next(episode.reset_info[name] for episode in episodes if name in episode.reset_info)
        rows = np.zeros((len(episodes), *first.shape), first.dtype)
        rows[there] = [episode.reset_info[name] for episode in episodes if name in episode.reset_info]
        arrays[f"{ARRAYS}{name}"] = rows
        if not there.all():
            arrays[f"{THERE}{name}"] = there
    return arrays


def unpack_resets(
    arrays: Mapping[str, Shaped[np.ndarray, "n ..."]], episode: int
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """What the reset of one episode of a part told."""
    names = [name.removeprefix(ARRAYS) for name in arrays if name.startswith(ARRAYS)]
    return {
        name: np.asarray(arrays[f"{ARRAYS}{name}"][episode])
        for name in names
        if f"{THERE}{name}" not in arrays or arrays[f"{THERE}{name}"][episode]
    }


def reset_specs(arrays: Mapping[str, Described]) -> dict[str, RowSpec]:
    """`reset_info/<name>` and what one episode of a part has there."""
    return {RESET + name.removeprefix(ARRAYS): RowSpec.of(arrays[name]) for name in arrays if name.startswith(ARRAYS)}
