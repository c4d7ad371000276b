"""The last observation of each episode: lost, replaced, or the one before it once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.dataset.pictures import is_picture
from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.commands import report_of
from pipeline.doctor.findings import Finding, Severity
from pipeline.doctor.kernels import SAME, SAME_BEFORE, ZERO, ZERO_BEFORE, finals_of
from pipeline.doctor.tally import FaultTally
from pipeline.doctor.thresholds import Thresholds
from pipeline.wording import how_many

NEARLY_ALL = 0.95
"""Share of episodes that have the fault, where their source is at fault and not the play."""

SOMETIMES = 0.5
"""Share of episodes whose two observations before the last are equal, too, from which on that is how they are."""


class FinalsCheck(Check):
    """Whether the last observation is there, and is one."""

    name = "final_observations"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject, self._limits = subject, thresholds
        self._missing, self._cut = FaultTally(), 0
        self._zero, self._repeated = FaultTally(), FaultTally()
        self._episodes = self._there = self._before = 0
        self._pictures = False  # games show their last screen twice: Breakout always does

    def see(self, block: EpisodeBlock) -> None:
        """Compare the last rows of each episode with one another and with zeros."""
        there = block.once("has_final_observation") & (block.lengths >= 2)
        self._episodes += len(there)
        missing = ~block.once("has_final_observation")
        self._missing.of_episodes(block, missing)
        self._cut += int((missing & block.once("truncated") & ~block.once("terminated")).sum())
        self._there += int(there.sum())
        if not there.any():
            return
        observed = [each for name, each in block.steps.items() if name.split("/")[0] == "observation"]
        self._pictures |= any(is_picture(each.shape[1:], each.dtype) for each in observed)
        looks = [finals_of(each, block.lasts) for each in block.vectors("observation").values()]
        if not looks:  # observations of no column
            return
        every = np.bitwise_and.reduce(looks)
        self._zero.of_episodes(block, there & (every & ZERO > 0) & (every & ZERO_BEFORE == 0))
        self._repeated.of_episodes(block, there & (every & SAME > 0))
        self._before += int((there & (every & SAME_BEFORE > 0)).sum())

    def findings(self) -> Iterable[Finding]:
        """Missing ones; and those that nearly all episodes have wrong."""
        if self._missing:
            count, cut = self._missing.count, self._cut
            of_cut = f" {how_many(cut, 'episodes')} of them were cut: bootstrapping there needs it." if cut else ""
            yield self._finding(
                "final_observations_missing",
                "warning" if cut else "note",
                self._missing,
                f"{how_many(count, 'episodes')} of {self._episodes:,} have no last observation; zeros stand there.",
                f"The successor of the last state is not known.{of_cut} `has_final_observation` marks them.",
            )
        enough = self._there >= self._limits.episodes
        if enough and self._zero.count >= NEARLY_ALL * self._there:
            yield self._finding(
                "final_observations_zero",
                "warning",
                self._zero,
                f"The last observation of {how_many(self._zero.count, 'episodes')} of {self._there:,} is all zeros.",
                "The source probably lost it and did not say so: the successor of the last state is wrong.",
            )
        usual = self._pictures or self._before >= SOMETIMES * self._there
        if enough and not usual and self._repeated.count >= NEARLY_ALL * self._there:
            yield self._finding(
                "final_observations_repeated",
                "warning",
                self._repeated,
                f"The last two observations of {how_many(self._repeated.count, 'episodes')} of {self._there:,} are "
                f"the same.",
                "The environment or a wrapper gave an old observation at the end: the successor of the last state is "
                "wrong.",
            )

    def _finding(self, name: str, severity: Severity, tally: FaultTally, what: str, why: str) -> Finding:
        share = tally.count / max(1, self._episodes)
        command = report_of(self._subject)
        examples, numbers = tuple(tally.examples), (("share", share),)
        return Finding(name, severity, self._subject.where, tally.count, what, why, command, examples, numbers)

    def facts(self) -> Mapping[str, Any]:
        """How many episodes end in the observation before."""
        return {"missing": self._missing.count, "zero": self._zero.count, "repeated": self._repeated.count}
