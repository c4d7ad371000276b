"""Which episodes of BabyAI query and may be retrieved: missions take turns (regent-research/regent)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int64

from pipeline.command import again
from pipeline.errors import InvalidInput

MISSION_DEMOS = 20
"""Episodes of a mission that may be retrieved, and that query at a time."""


@dataclass(frozen=True)
class MissionChoice:
    """Queries and pools of a task whose missions never retrieve from one another.

    Attributes:
        episodes: those whose states query, ascending.
        pool_missions: missions that query, in order of first appearance.
        pools: for each of them the episodes that its states may retrieve, ascending. All of them query, too.
    """

    episodes: Int64[np.ndarray, "queries"]
    pool_missions: list[str]
    pools: list[Int64[np.ndarray, "_"]]


def mission_queries(
    missions: Sequence[str],
    lengths: Int[np.ndarray, "episodes"],
    states: int,
    demos: int = MISSION_DEMOS,
    least: int | None = None,
) -> MissionChoice:
    """Queries and pools of a BabyAI task.

    Missions with enough episodes take turns, in order of first appearance, and again until the end: each adds its next
    `demos` episodes (its last turn may have fewer), until the states of all added episodes are at least `states`. A
    mission that has no turn by then takes no part. The pool of a mission is its first `demos` episodes.

    Args:
        missions: of each episode.
        lengths: states of each episode.
        states: added episodes hold at least so many, or are all there are.
        least: episodes that a mission needs to take part; `demos` when None. REGENT takes 2 in move-two-across-s8n9.

    Raises:
        InvalidInput: no mission has `least` episodes.

    Boxes, then keys, then boxes again; the ball has too few episodes:

    >>> chosen = mission_queries(["box", "key", "box", "ball", "key", "box"], np.full(6, 10), states=50, demos=2)
    >>> chosen.episodes.tolist(), chosen.pool_missions, [pool.tolist() for pool in chosen.pools]
    ([0, 1, 2, 4, 5], ['box', 'key'], [[0, 2], [1, 4]])
    """
    if len(missions) != len(lengths):
        raise InvalidInput(
            f"Each episode needs its mission; there are {len(lengths)} episodes, {len(missions)} missions."
        )
    if states < 1 or demos < 1:
        raise InvalidInput(f"states and demos must be at least 1; they are {states} and {demos}.")
    numbers: dict[str, int] = {}
    mission = np.fromiter((numbers.setdefault(name, len(numbers)) for name in missions), np.int64, len(missions))
    count = np.bincount(mission, minlength=1)
    least = demos if least is None else least
    if not (count >= least).any():
        raise InvalidInput(
            f"No mission has {least} episodes: there are {len(numbers)} missions in {len(missions)} episodes, and the "
            f"most frequent has {count.max()}. Take more episodes, or fewer demonstrations a mission.\n"
            f"With as many as there are: {again(retrieval__demos=max(int(count.max()), 1))}"
        )
    taking_part = np.flatnonzero(count[mission] >= least)
    order = taking_part[np.argsort(mission[taking_part], kind="stable")]  # by mission, ascending inside each
    owner = mission[order]
    nth = np.arange(len(order)) - np.searchsorted(owner, owner)
    _, turn = np.unique(nth // demos * len(numbers) + owner, return_inverse=True)
    added = np.zeros(turn.max() + 1, np.int64)
    np.add.at(added, turn, np.asarray(lengths, np.int64)[order])
    last = int(np.searchsorted(np.cumsum(added), states, "left"))
    queries, pooled = turn <= last, (turn <= last) & (nth < demos)
    cuts = np.flatnonzero(np.diff(owner[pooled])) + 1
    names = list(numbers)
    return MissionChoice(
        np.sort(order[queries]),
        [names[number] for number in np.unique(owner[pooled])],
        np.split(order[pooled], cuts),
    )
