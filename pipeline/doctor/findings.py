"""A finding: one thing that a check found in a dataset, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the worst on. Errors alone make the exit status 1."""


@dataclass(frozen=True)
class Finding:
    """One fault, or something worth a look.

    Attributes:
        name: what it is, in snake case, for programs: `reward_sums`.
        severity: `error` where training on the data would be wrong, `warning` where it may be, `note` else.
        where: the dataset, `toy/corner/scripted-v1`.
        count: how many times: episodes, steps or values, as `what` says.
        what: a sentence with the number in it.
        why: why that matters to who trains on it.
        command: shows or mends it; empty where nothing does.
        examples: where it is, `episode 3, row 17`; some of them where there are many.
        numbers: what was measured, by name.
    """

    name: str
    severity: Severity
    where: str
    count: int
    what: str
    why: str
    command: str = ""
    examples: tuple[str, ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As it is written for programs."""
        return {**asdict(self), "examples": list(self.examples), "numbers": dict(self.numbers)}


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors before warnings before notes; those of one severity in the order in which they were found."""
    return sorted(findings, key=lambda each: SEVERITIES.index(each.severity))
