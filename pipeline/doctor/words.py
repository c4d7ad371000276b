"""What the doctor says on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import indent, wrap
from typing import TYPE_CHECKING, Any

from pipeline.doctor.examine import Examination
from pipeline.doctor.findings import SEVERITIES, Finding, worst_first
from pipeline.wording import few, how_many

if TYPE_CHECKING:
    from rich.console import Console

INDENT, WIDTH = 9, 120
"""Columns before what is said of a finding, and the column after which sentences are broken."""

SHOWN = 10
"""Datasets with one fault that are shown; the JSON file has all."""

COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def report_json(examinations: Sequence[Examination], across: Sequence[Finding]) -> dict[str, Any]:
    """All that was found, for programs: each dataset's own, what concerns several, and the counts of both."""
    return {
        "datasets": [each.as_json() for each in examinations],
        "findings": [finding.as_json() for finding in across],
        "counts": severity_counts(all_findings(examinations, across)),
    }


def all_findings(examinations: Iterable[Examination], across: Iterable[Finding]) -> list[Finding]:
    """Those of each dataset and those of several together, the worst first."""
    return worst_first([*(finding for each in examinations for finding in each.findings), *across])


def severity_counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each severity."""
    counts: dict[str, int] = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        counts[finding.severity] += 1
    return counts


def verdict_words(examination: Examination) -> str:
    """One line about a dataset: what was found, in how much, for what it was checked, and what could not be."""
    size = f"{how_many(examination.episodes, 'episodes')}, {how_many(examination.states, 'states')}"
    verdict = f"found {found_words(examination.findings)}" if examination.findings else "nothing found"
    unchecked = f"; {few(examination.unchecked)}" if examination.unchecked else ""
    return f"{examination.subject.where}: {verdict} ({size}; checked: {', '.join(examination.checked)}{unchecked})"


def found_words(findings: Iterable[Finding]) -> str:
    """`2 errors, 1 note`."""
    return ", ".join(how_many(count, f"{severity}s") for severity, count in severity_counts(findings).items() if count)


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """A block for each fault: how bad, what it is, why it matters; and of each dataset what and where, and a command.

    Sentences are broken to fit, commands are not. The first datasets of a fault are named.
    """
    from rich.text import Text

    def say(sentence: str, width: int) -> None:
        lines = wrap(sentence, max(width, INDENT), break_long_words=False, break_on_hyphens=False)
        console.print(Text(indent("\n".join(lines), " " * INDENT)), soft_wrap=True)

    width = min(console.width, WIDTH) - INDENT
    for same in _of_one_fault(findings):
        first = same[0]
        head = Text(f"{first.severity:<{INDENT}}", COLOURS[first.severity])
        more = f" ({how_many(len(same), 'datasets')})" if len(same) > 1 else ""
        console.print(head.append(f"{first.name}{more}", "default"), soft_wrap=True)
        say(first.why, width)
        for finding in same[:SHOWN]:
            places = f" ({'; '.join(finding.examples)})" if finding.examples else ""
            say(f"{finding.where}: {finding.what}{places}", width)
            if finding.command:
                console.print(Text(f"{' ' * INDENT}{finding.command}"), soft_wrap=True)
        if len(same) > SHOWN:
            say(f"and {len(same) - SHOWN} more: {few([each.where for each in same[SHOWN:]])}", width)


def _of_one_fault(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Those that differ in nothing but the dataset and the numbers, together."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.name, finding.why), []).append(finding)
    return list(groups.values())
