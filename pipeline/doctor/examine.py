"""One pass over a dataset, in which every check sees every episode."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.findings import Finding, worst_first
from pipeline.errors import DamagedArtifact, PipelineError
from pipeline.machine.progress import progress
from pipeline.wording import how_many


@dataclass(frozen=True)
class Examination:
    """What the checks say of one dataset.

    Attributes:
        checked: the names of the checks that were made; `made` are they themselves.
        unchecked: what could not be looked at, and why.
        facts: what was measured and is no fault, by check.
    """

    subject: Subject
    episodes: int
    states: int
    seconds: float
    checked: tuple[str, ...]
    findings: list[Finding]
    facts: dict[str, Any] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)
    made: tuple[Check, ...] = ()

    @staticmethod
    def of_nothing(subject: Subject) -> Examination:
        """That of a dataset of which nothing was read yet."""
        return Examination(subject, 0, 0, 0.0, (), [])

    def cut_short(self, error: DamagedArtifact) -> Examination:
        """The same, with a finding that damaged files ended it, and the command that makes them again."""
        what, _, advice = str(error).partition("\n")
        damage = Finding(
            "unreadable",
            "error",
            self.subject.where,
            1,
            f"After {self.episodes:,} episodes it could not be examined further: {what}",
            "What was not read may hold any fault, and what trains on it fails there, too.",
            advice.partition(": ")[2],
        )
        return replace(self, findings=worst_first([*self.findings, damage]))

    def check(self, name: str) -> Check | None:
        """One of the checks, which has seen all blocks; None where it was not made."""
        return next((each for each in self.made if each.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """As it is written for programs."""
        return {
            "where": self.subject.where,
            "episodes": self.episodes,
            "states": self.states,
            "seconds": round(self.seconds, 3),
            "checked": list(self.checked),
            "unchecked": self.unchecked,
            "facts": self.facts,
            "findings": [finding.as_json() for finding in self.findings],
        }


def examine(subject: Subject, blocks: Generator[EpisodeBlock, None, None], checks: Sequence[Check]) -> Examination:
    """Show each block to each check. Memory does not grow with the dataset.

    Foreign data that cannot be read to their end are a finding: what was read until then was looked at.
    """
    start, episodes, states = time.monotonic(), 0, 0
    broken: list[Finding] = []
    with progress("doctor", subject.where, "episodes", subject.episodes) as advance, closing(blocks):
        try:
            for block in blocks:
                for check in checks:
                    check.see(block)
                episodes, states = episodes + len(block.ends), states + block.rows - len(block.ends)
                advance(len(block.ends))
        except PipelineError as error:
            if not subject.foreign:
                raise
            broken.append(_unreadable(subject, episodes, error))
    found = [finding for check in checks for finding in check.findings()]
    return Examination(
        subject,
        episodes,
        states,
        time.monotonic() - start,
        tuple(check.name for check in checks),
        worst_first([*broken, *found]),
        {check.name: facts for check in checks if (facts := dict(check.facts()))},
        [reason for check in checks if (reason := check.unchecked())],
        tuple(checks),
    )


def _unreadable(subject: Subject, episodes: int, error: PipelineError) -> Finding:
    return Finding(
        "unreadable",
        "error",
        subject.where,
        1,
        f"After {how_many(episodes, 'episodes')} the door cannot read on: {error}",
        "What follows was not examined, and cannot be ingested.",
    )
