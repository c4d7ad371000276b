"""Which episodes of BabyAI query and may be retrieved: missions take turns (regent-research/regent)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InvalidInput

MISSION_DEMOS = 20
"""Episodes of a mission that may be retrieved, and that query at a time."""


@dataclass(frozen=True)
class MissionChoice:
    """Queries and pools of a task whose missions never retrieve from one another.

    Attributes:
        episodes: (E,) int64 ascending: episodes whose states query.
        pool_missions: missions that query, in order of first appearance.
        pools: for each of them (P,) int64 ascending: episodes that its states may retrieve. All of them query, too.
    """

    episodes: np.ndarray
    pool_missions: list[str]
    pools: list[np.ndarray]


def mission_queries(
    missions: Sequence[str], lengths: np.ndarray, states: int, demos: int = MISSION_DEMOS, least: int | None = None
) -> MissionChoice:
    """Queries and pools of a BabyAI task.

    Missions with enough episodes take turns, in order of first appearance, and again until the end: each adds its next
    `demos` episodes (its last turn may have fewer), until the states of all added episodes are at least `states`. A
    mission that has no turn by then takes no part. The pool of a mission is its first `demos` episodes.

    Args:
        missions: of each episode.
        lengths: (n,) states of each episode.
        states: added episodes hold at least so many, or are all there are.
        least: episodes that a mission needs to take part; `demos` when None. REGENT takes 2 in move-two-across-s8n9.

    Raises:
        InvalidInput: no mission has `least` episodes.
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
            f"most frequent has {count.max()}. Take more episodes, or fewer demonstrations a mission: "
            f"retrieval.demos={max(int(count.max()), 1)}"
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
