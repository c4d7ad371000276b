"""The infos of resets, as once-per-episode arrays of a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.columns import Described, RowSpec
from pipeline.episode import RESET, Episode

ARRAYS, PRESENT = f"episodes/{RESET}", "episodes/reset_info_present/"
"""Prefixes of the arrays (n, ...), and of the masks (n,) of those that only some of the episodes have."""


def pack_resets(episodes: Sequence[Episode]) -> dict[str, Shaped[np.ndarray, "n ..."]]:
    """One array for each name; zeros and a mask where only some episodes have it."""
    arrays: dict[str, np.ndarray] = {}
    for name in sorted({name for episode in episodes for name in episode.reset_info}):
        present = np.asarray([name in episode.reset_info for episode in episodes])
        first = next(episode.reset_info[name] for episode in episodes if name in episode.reset_info)
        rows = np.zeros((len(episodes), *first.shape), first.dtype)
        rows[present] = [episode.reset_info[name] for episode in episodes if name in episode.reset_info]
        arrays[f"{ARRAYS}{name}"] = rows
        if not present.all():
            arrays[f"{PRESENT}{name}"] = present
    return arrays


def unpack_resets(
    arrays: Mapping[str, Shaped[np.ndarray, "n ..."]], episodes: int
) -> list[dict[str, Shaped[np.ndarray, "..."]]]:
    """The reset's info of each of the `episodes` of a part."""
    resets: list[dict[str, np.ndarray]] = [{} for _ in range(episodes)]
    for name in [name.removeprefix(ARRAYS) for name in arrays if name.startswith(ARRAYS)]:
        present = arrays.get(f"{PRESENT}{name}", np.ones(episodes, np.bool_))
        for number in np.flatnonzero(present):
            resets[number][name] = np.asarray(arrays[f"{ARRAYS}{name}"][number])
    return resets


def reset_specs(arrays: Mapping[str, Described]) -> dict[str, RowSpec]:
    """`reset_info/<name>` and what one episode of a part has there."""
    return {RESET + name.removeprefix(ARRAYS): RowSpec.of(arrays[name]) for name in arrays if name.startswith(ARRAYS)}
