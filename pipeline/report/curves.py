"""How the return of an episode grows step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pipeline.dataset.reader import EpisodeDataset

RANKS = ("highest", "middle", "lowest")
"""Of the episodes' returns; the middle one is the lower one of two."""
POINTS = 240
"""Of a curve, at most."""


@dataclass(frozen=True)
class Curve:
    """Rewards of an episode so far: `sums[i]` is the sum of its first `steps[i]` rewards."""

    rank: str
    episode: int
    steps: tuple[int, ...]
    sums: tuple[float, ...]


def ranked(returns: Float64[np.ndarray, " n"]) -> dict[int, str]:
    """Episodes with the highest, the middle and the lowest return, in this order -> which of them it is.

    The middle is the lower one of two. Of an episode that is several of these, the middle is left out first.

    >>> ranked(np.array([3.0, 9.0, 5.0]))
    {1: 'highest', 2: 'middle', 0: 'lowest'}
    """
    order = np.argsort(returns, kind="stable").tolist()
    highest, middle, lowest = order[-1], order[(len(order) - 1) // 2], order[0]
    found = {middle: "middle", lowest: "lowest", highest: "highest"}  # the last one stays
    return dict(sorted(found.items(), key=lambda each: RANKS.index(each[1])))


def curves_of(dataset: EpisodeDataset) -> tuple[Curve, ...]:
    """The curves of the episodes with the highest, the middle and the lowest return."""
    return tuple(_curve(dataset, episode, rank) for episode, rank in ranked(dataset.per_episode("return")).items())


def _curve(dataset: EpisodeDataset, episode: int, rank: str) -> Curve:
    length = int(dataset.lengths[episode])
    sums = np.append(0.0, np.cumsum(dataset.episode_rows("reward", episode, 0, length)))
    steps = np.unique(np.linspace(0, length, min(length + 1, POINTS)).round().astype(np.int64))
    return Curve(rank, episode, tuple(steps.tolist()), tuple(sums[steps].tolist()))
