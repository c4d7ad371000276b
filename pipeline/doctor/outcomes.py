"""Success and lives: what an episode says that it achieved, against what its steps say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.commands import leave_out, report_of
from pipeline.doctor.findings import Finding
from pipeline.doctor.tally import FaultTally
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import INFO
from pipeline.wording import how_many

SUCCESS_INFOS = (f"{INFO}success", f"{INFO}is_success")

LIVES = f"{INFO}lives"


class SuccessCheck(Check):
    """Success of episodes: none at all, and success that no step shows."""

    name = "success"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject, self._limits = subject, thresholds
        self._known = self._successes = 0
        self._unlike = FaultTally()

    def see(self, block: EpisodeBlock) -> None:
        """Count, and compare with an info of success."""
        success = block.once("success")
        self._known += int((success >= 0).sum())
        self._successes += int((success == 1).sum())
        for name in SUCCESS_INFOS:
            reported = block.steps.get(name)
            if reported is not None and reported.ndim == 1 and len(success):
                shown = np.maximum.reduceat((reported > 0) & block.is_state, block.starts)
                self._unlike.of_episodes(block, (success == 1) & ~shown)

    def findings(self) -> Iterable[Finding]:
        """Never, and not as the infos say."""
        if self._known >= self._limits.episodes and not self._successes:
            yield Finding(
                "success_never",
                "warning",
                self._subject.where,
                self._known,
                f"None of the {self._known:,} episodes that say whether they succeeded did.",
                "Nothing in it shows how the task is done: imitation learns to fail.",
                report_of(self._subject),
            )
        if self._unlike:
            yield Finding(
                "success_not_shown",
                "error",
                self._subject.where,
                self._unlike.count,
                f"{how_many(self._unlike.count, 'episodes')} are marked as a success that no step of theirs shows.",
                "Whoever takes the successful episodes takes failures with them.",
                leave_out(self._subject, self._unlike.episodes, self._unlike.count),
                tuple(self._unlike.examples),
            )

    def facts(self) -> Mapping[str, Any]:
        """How many say whether they succeeded, and how many did."""
        return {"known": self._known, "successes": self._successes}


class LivesCheck(Check):
    """Episodes that end although lives are left: each life was made an episode."""

    name = "lives"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject, self._limits = subject, thresholds
        self._terminated, self._most = 0, 0
        self._left = FaultTally()

    def see(self, block: EpisodeBlock) -> None:
        """Look at the lives after the last action of each episode that terminated."""
        lives, terminated = block.steps.get(LIVES), block.once("terminated")
        if lives is None or lives.ndim != 1 or not len(lives):
            return
        self._most = max(self._most, int(lives.max()))
        self._terminated += int(terminated.sum())
        self._left.of_episodes(block, terminated & (lives[block.lasts - 1] > 0))

    def findings(self) -> Iterable[Finding]:
        """Where most that terminated did so with lives left, in a game that has several."""
        if self._most > 1 and self._terminated >= self._limits.episodes and 2 * self._left.count > self._terminated:
            yield Finding(
                "ends_at_lost_lives",
                "warning",
                self._subject.where,
                self._left.count,
                f"{how_many(self._left.count, 'episodes')} of {self._terminated:,} that terminated had lives left.",
                "Each life was made an episode: returns are no scores of games, and most begin in the middle.",
                report_of(self._subject),
                tuple(self._left.examples),
            )

    def facts(self) -> Mapping[str, Any]:
        """The most lives that were seen."""
        return {"most": self._most} if self._terminated else {}
