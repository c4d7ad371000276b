"""Hindsight goals: states of the data that a transition is taken to be on its way to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.errors import InvalidInput
from pipeline.views.permutation import seed_key, uniform_draws
from pipeline.wording import check_choice

FUTURE, FINAL, GEOMETRIC, CURRENT, RANDOM = KINDS = ("future", "final", "geometric", "current", "random")
"""Where a goal lies:

* `future`: each later observation of the episode as likely as the others (HER, Andrychowicz et al. 2017)
* `final`: the episode's last observation
* `geometric`: k steps later with probability (1 - discount) discount^(k-1), at most the last (as OGBench draws)
* `current`: the observation itself
* `random`: any observation of any episode
"""


class Goal(NamedTuple):
    """Goals of n transitions: in which episode, at which row, and how many steps later; -1 steps where it is random."""

    episodes: Int64[np.ndarray, " n"]
    rows: Int64[np.ndarray, " n"]
    offsets: Int64[np.ndarray, " n"]


class Goals:
    """Draws a goal for each transition. A draw follows from the seed and the sample's number alone.

    Args:
        shares: a kind of goal, or how likely each of some kinds is: `{"geometric": 0.8, "random": 0.2}`.
        discount: of `geometric`, between 0 and 1.
        lasts: (episodes,) the last row of each episode that can be a goal.
        seed: of the draws.

    Raises InvalidInput for shares that are no probabilities, UnknownName for a kind that there is not.
    """

    def __init__(
        self, shares: str | Mapping[str, float], discount: float, lasts: Int64[np.ndarray, " episodes"], seed: int
    ) -> None:
        if not isinstance(shares, str | Mapping):
            raise InvalidInput(
                f"goals={shares!r} is of the wrong type: it must be a kind of goal, such as 'future', or the shares of "
                "some, such as {'geometric': 0.8, 'random': 0.2}."
            )
        self.shares = {shares: 1.0} if isinstance(shares, str) else dict(shares)
        for kind in self.shares:
            check_choice("goals", kind, KINDS)
        values = np.array(list(self.shares.values()), np.float64)
        if not len(values) or not (values >= 0).all() or not math.isclose(values.sum(), 1, abs_tol=1e-6):
            raise InvalidInput(f"goals={self.shares} must give shares that are not negative and add up to 1.")
        if self.shares.get(GEOMETRIC) and not 0 < discount < 1:
            raise InvalidInput(
                f"goals='geometric' needs a discount between 0 and 1, not {discount:g}: set goal_discount=0.99."
            )
        self._discount, self._lasts = discount, lasts
        self._chance_key, self._kind_key = seed_key(seed, 0), seed_key(seed, 1)
        self._ends = np.cumsum(lasts + 1)

    def draw(
        self,
        numbers: Int64[np.ndarray, " n"],
        episodes: Int64[np.ndarray, " n"],
        rows: Int64[np.ndarray, " n"],
    ) -> Goal:
        """Goals of the samples with these numbers, which begin at these rows."""
        left = self._lasts[episodes] - rows
        chance = uniform_draws(numbers, self._chance_key)
        kinds = np.searchsorted(np.cumsum(list(self.shares.values())), uniform_draws(numbers, self._kind_key), "right")
        offsets = np.zeros(len(numbers), np.int64)
        for number, kind in enumerate(self.shares):
            here = kinds.clip(max=len(self.shares) - 1) == number
            offsets[here] = self._offsets(kind, chance[here], left[here])
        goal_episodes, goal_rows = episodes.copy(), rows + offsets
        anywhere = np.flatnonzero(offsets < 0)
        states = (chance[anywhere] * self._ends[-1]).astype(np.int64)
        goal_episodes[anywhere] = found = np.searchsorted(self._ends, states, "right")
        goal_rows[anywhere] = states - (self._ends - self._lasts - 1)[found]
        return Goal(goal_episodes, goal_rows, offsets)

    def _offsets(
        self, kind: str, chance: Float64[np.ndarray, " n"], left: Int64[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " n"]:
        if kind == FUTURE:
            return 1 + (chance * left).astype(np.int64)
        if kind == GEOMETRIC:
            return np.minimum(1 + np.floor(np.log1p(-chance) / math.log(self._discount)).astype(np.int64), left)
        return {FINAL: left, CURRENT: np.zeros_like(left), RANDOM: np.full_like(left, -1)}[kind]
