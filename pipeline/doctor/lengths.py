"""Lengths of episodes against the time limit or budget that the manifest states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.commands import report_of, select_of
from pipeline.doctor.findings import Finding
from pipeline.doctor.tally import FaultTally
from pipeline.doctor.thresholds import Thresholds
from pipeline.wording import how_many


class LengthsCheck(Check):
    """Episodes longer than the limit, and cut before it."""

    name = "lengths"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject = subject
        self.limit, self.budget = time_limit(subject), subject.parameters.get("budget")
        self._longer, self._over, self._shorter, self._undeclared = (
            FaultTally(),
            FaultTally(),
            FaultTally(),
            FaultTally(),
        )
        self._least, self._most, self._episodes, self._states = 0, 0, 0, 0

    def see(self, block: EpisodeBlock) -> None:
        """Compare each length with the limit."""
        lengths = block.lengths
        if not len(lengths):
            return
        least = int(lengths.min())
        self._least = least if not self._episodes else min(self._least, least)
        self._most = max(self._most, int(lengths.max()))
        self._episodes += len(lengths)
        self._states += int(lengths.sum())
        if self.limit is not None:
            self._longer.of_episodes(block, lengths > self.limit)
            self._shorter.of_episodes(block, block.has_text("end_reason", "time_limit") & (lengths < self.limit))
        if self.budget is None:
            self._undeclared.of_episodes(block, block.has_text("end_reason", "budget"))
        elif isinstance(self.budget, int):
            self._over.of_episodes(block, lengths > self.budget)

    def findings(self) -> Iterable[Finding]:
        """One for each fault."""
        where, limit = self._subject.where, self.limit
        if self._longer:
            yield Finding(
                "longer_than_limit",
                "error",
                where,
                self._longer.count,
                f"{how_many(self._longer.count, 'episodes')} are longer than the time limit of {limit:,} steps.",
                "Episodes were joined, or the stated limit is that of another environment.",
                select_of(self._subject, f"length <= {limit}"),
                tuple(self._longer.examples),
            )
        if self._over:
            yield Finding(
                "longer_than_budget",
                "error",
                where,
                self._over.count,
                f"{how_many(self._over.count, 'episodes')} are longer than their budget of {self.budget:,} steps.",
                "They were to be cut there: the data are not what their settings say.",
                select_of(self._subject, f"length <= {self.budget}"),
                tuple(self._over.examples),
            )
        if self._shorter:
            yield Finding(
                "cut_before_limit",
                "warning",
                where,
                self._shorter.count,
                f"{how_many(self._shorter.count, 'episodes')} ended at a time limit, with fewer steps than the "
                f"{limit:,} that it has.",
                "Another limit held when they were made, or steps are missing.",
                select_of(self._subject, f"end_reason != 'time_limit' or length == {limit}"),
                tuple(self._shorter.examples),
            )
        if self._undeclared:
            yield Finding(
                "cut_without_budget",
                "note",
                where,
                self._undeclared.count,
                f"{how_many(self._undeclared.count, 'episodes')} were cut after a budget that the manifest does not "
                f"state.",
                "Their returns are those of beginnings.",
                report_of(self._subject),
                tuple(self._undeclared.examples),
            )

    def facts(self) -> Mapping[str, Any]:
        """Least, mean and greatest length, and the limits that are known."""
        if not self._episodes:
            return {}
        mean = self._states / self._episodes
        return {"least": self._least, "mean": mean, "most": self._most, "limit": self.limit, "budget": self.budget}

    def unchecked(self) -> str:
        """Where no limit is known."""
        return "" if self.limit is not None or self.budget is not None else "no time limit is stated"


def time_limit(subject: Subject) -> int | None:
    """The most steps of an episode that a manifest states; None where it states none."""
    source = dict(subject.parameters.get("source") or {})
    facts = subject.parameters.get("facts")  # of a log that a program kept of its own environment
    logged = facts.get("environment") if isinstance(facts, Mapping) else None
    logged = logged if isinstance(logged, Mapping) else {}
    for place, name in (
        (subject.environment, "max_steps"),
        (source, "max_episode_steps"),
        (source, "max_steps"),
        (logged, "max_episode_steps"),
    ):
        if isinstance(limit := place.get(name), int) and limit > 0:
            return limit
    return None
