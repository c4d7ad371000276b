"""A last observation that a source did not have: zeros in our store, whatever stood for it in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from pipeline.episode import Episode


def unfilled(episode: Episode) -> Episode:
    """The episode with zeros for a last observation that its source did not have, whatever stood for it."""
    shown = (array for name, array in episode.steps.items() if name.startswith("observation"))
    if episode.has_final_observation or not any(array[-1].tobytes().strip(b"\0") for array in shown):
        return episode
    return with_observations(episode, _zeroed)


def with_observations(episode: Episode, change: Callable[[Shaped[np.ndarray, "rows ..."]], None]) -> Episode:
    """The episode with its observations changed in copies."""
    steps = dict(episode.steps)
    for name in [name for name in steps if name.startswith("observation")]:
        steps[name] = steps[name].copy()
        change(steps[name])
    return replace(episode, steps=steps)


def _zeroed(array: Shaped[np.ndarray, "rows ..."]) -> None:
    array[-1] = 0
