"""Rewards against returns, against the row that they belong to, and against what infos say of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from pipeline.dataset.rewards import has_rewards, reward_clipping
from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.commands import report_of, verify_of
from pipeline.doctor.findings import Finding
from pipeline.doctor.tally import FaultTally
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import INFO
from pipeline.wording import how_many

CLOSE = 1e-9
"""Share of the sum of all absolute rewards by which a sum may differ that was made in another order."""


class ReturnsCheck(Check):
    """The stored return of each episode against the sum of its rewards."""

    name = "returns"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject, self._wrong = subject, FaultTally()

    def see(self, block: EpisodeBlock) -> None:
        """Sum the rewards of each episode."""
        reward, stored = block.steps["reward"], block.once("return")
        if not len(stored):
            return
        with np.errstate(invalid="ignore", over="ignore"):  # of NaN and infinity, which have a finding of their own
            sums = np.add.reduceat(reward, block.starts)
            size = np.add.reduceat(np.abs(reward), block.starts)
        far = ~(np.abs(sums - stored) <= CLOSE * np.maximum(size, np.finfo(np.float64).tiny))
        for number in np.flatnonzero(far).tolist():  # sums of many rewards round: those few are summed exactly
            own = reward[block.starts[number] : block.ends[number]]
            far[number] = not np.isfinite(own).all() or math.fsum(own) != stored[number]
        self._wrong.of_episodes(block, far)

    def findings(self) -> Iterable[Finding]:
        """Episodes whose return is another."""
        if self._wrong:
            yield Finding(
                "reward_sums",
                "error",
                self._subject.where,
                self._wrong.count,
                f"The return of {how_many(self._wrong.count, 'episodes')} is not the sum of the rewards.",
                "Filters and targets by return (decision transformers, the best tenth) take wrong episodes.",
                verify_of(self._subject),
                tuple(self._wrong.examples),
            )


@dataclass
class _Fit:
    """How many of the rewards that can tell equal an info of their own row, of the row after, of the row before."""

    rows: int = 0
    same: dict[int, int] = field(default_factory=lambda: dict.fromkeys((-1, 0, 1), 0))


class RewardsCheck(Check):
    """Rewards that belong to another row, are clipped, all zero, or were lost."""

    name = "rewards"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject, self._limits = subject, thresholds
        self._fits: dict[str, _Fit] = {}
        self._states = self._nonzero = self._episodes = 0
        self._first_zero = self._second_zero = self._two = 0
        self._small = True
        self._raw_larger: dict[str, int] = {}
        self._lost = FaultTally()
        self._least, self._most = np.inf, -np.inf

    def see(self, block: EpisodeBlock) -> None:
        """Count the rewards of the block's states."""
        reward = block.steps["reward"][block.is_state]
        if not len(reward):
            return
        self._states += len(reward)
        self._episodes += len(block.ends)
        self._nonzero += int(np.count_nonzero(reward))
        if len(finite := reward[np.isfinite(reward)]):
            self._least, self._most = min(self._least, float(finite.min())), max(self._most, float(finite.max()))
        if self._small:
            self._small = bool(np.isin(reward, (-1.0, 0.0, 1.0)).all())
        rewards, longer = block.steps["reward"], block.lengths >= 2
        self._two += int(longer.sum())
        self._first_zero += int((rewards[block.starts[longer]] == 0).sum())
        self._second_zero += int((rewards[block.starts[longer] + 1] == 0).sum())
        self._lost.of_episodes(block, ~block.once("has_final_reward"))
        for name, reported in _reported(block).items():
            self._fit(name, block, reported)

    def _fit(self, name: str, block: EpisodeBlock, reported: Float64[np.ndarray, " rows"]) -> None:
        reward = block.steps["reward"]
        raw = reward.clip(-1, 1) if "clip" in name else reward
        if name.startswith(RAW):
            self._raw_larger[name] = self._raw_larger.get(name, 0) + int((np.abs(reported) > 1)[block.is_state].sum())
            reported = reported.clip(-1, 1) if self._small else reported
        fit = self._fits.setdefault(name, _Fit())
        # Rows that have neighbours in their episode, and where these say something else, can tell.
        inner = block.is_state & ~block.is_first
        inner[block.lasts - 1] = False
        rows = np.flatnonzero(inner)
        rows = rows[(reported[rows] != reported[rows - 1]) & (reported[rows] != reported[rows + 1])]
        fit.rows += len(rows)
        for shift in fit.same:
            fit.same[shift] += int(np.isclose(raw[rows], reported[rows + shift], rtol=1e-4, atol=1e-6).sum())

    def findings(self) -> Iterable[Finding]:
        """What the counts say."""
        yield from self._shifted()
        where, limits = self._subject.where, self._limits
        if self._lost and has_rewards(self._subject.parameters):
            share = self._lost.count / self._episodes
            yield Finding(
                "final_rewards_lost",
                "warning",
                where,
                self._lost.count,
                f"{how_many(self._lost.count, 'episodes')} of {self._episodes:,} lost the reward of the last "
                f"transition; it is stored as 0.",
                "Where the reward comes at the end, it is gone; returns are too small.",
                "",
                tuple(self._lost.examples),
                (("share", share),),
            )
        if not self._nonzero and self._states:
            yield from self._without_rewards()
        yield from self._clipped()
        dense = self._second_zero < 0.1 * self._two
        if self._two >= limits.episodes and self._first_zero == self._two and self._nonzero and dense:
            yield Finding(
                "first_rewards_zero",
                "warning",
                where,
                self._two,
                f"The first reward of all {self._two:,} episodes is 0, and the second almost never.",
                "The rewards may be those that came before the observation: each then belongs to the row before.",
                report_of(self._subject),
            )

    def _shifted(self) -> Iterable[Finding]:
        for name, fit in self._fits.items():
            if fit.rows < self._limits.episodes:
                continue
            shift = max(fit.same, key=lambda each: fit.same[each])
            most, own = fit.same[shift] / fit.rows, fit.same[0] / fit.rows
            if shift and most >= self._limits.shifted and own < 1 - self._limits.shifted:
                row = "after" if shift > 0 else "before"
                yield Finding(
                    "rewards_shifted",
                    "error",
                    self._subject.where,
                    fit.same[shift],
                    f"{how_many(fit.same[shift], 'rewards')} of {fit.rows:,} equal {name} of the row {row}, not of "
                    f"their own.",
                    "The reward of an action is learned as that of its neighbour.",
                    report_of(self._subject),
                    numbers=(("share", most), ("share_own_row", own), ("rows", float(shift))),
                )
                return

    def _without_rewards(self) -> Iterable[Finding]:
        declared = not has_rewards(self._subject.parameters)
        if declared or self._states >= self._limits.states:
            yield Finding(
                "no_rewards" if declared else "rewards_zero",
                "note" if declared else "warning",
                self._subject.where,
                self._states,
                f"The source has no rewards: all {self._states:,} are 0."
                if declared
                else f"All {self._states:,} rewards are 0.",
                "Only imitation can be learned from it; every return is 0.",
                "" if declared else report_of(self._subject),
            )

    def _clipped(self) -> Iterable[Finding]:
        larger = max(self._raw_larger.values(), default=0)
        if (bounds := reward_clipping(self._subject.parameters)) is not None:
            yield Finding(
                "rewards_clipped",
                "note",
                self._subject.where,
                self._states,
                f"The source clipped the rewards to [{bounds[0]:g}, {bounds[1]:g}].",
                "Returns are no scores, and must not be compared with those of an evaluation.",
                "",
            )
        elif self._small and self._nonzero and larger:
            yield Finding(
                "rewards_clipped",
                "warning",
                self._subject.where,
                larger,
                f"All rewards are -1, 0 or 1, and infos say that {larger:,} were larger.",
                "Returns are no scores, and must not be compared with those of an evaluation.",
                report_of(self._subject),
            )

    def facts(self) -> Mapping[str, Any]:
        """Least and greatest reward that is a number, None where none is, and how many are not 0."""
        if not self._states:
            return {}
        least, most = (each if np.isfinite(each) else None for each in (self._least, self._most))
        return {"least": least, "most": most, "nonzero_share": self._nonzero / self._states}


RAW = ("raw_reward", "unclipped_reward", "original_reward")
"""Infos that say what a reward was before it was clipped."""

PARTS_OF_REWARD = "reward_"
"""Infos whose sum is the reward, as in Gymnasium's MuJoCo."""


def _reported(block: EpisodeBlock) -> dict[str, Float64[np.ndarray, " rows"]]:
    """What infos say of each row's reward, by their names."""
    numbers = {
        name.removeprefix(INFO): np.asarray(array, np.float64)
        for name, array in block.steps.items()
        if name.startswith(INFO) and array.ndim == 1 and array.dtype.kind in "iuf"
    }
    found = {n: a for n, a in numbers.items() if n in ("reward", "clipped_reward", *RAW)}
    parts = sorted(name for name in numbers if name.startswith(PARTS_OF_REWARD))
    if len(parts) > 1:
        found["the sum of " + ", ".join(parts)] = np.sum([numbers[name] for name in parts], axis=0)
    return found
