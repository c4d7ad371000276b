"""What the doctor says on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.doctor.examine import Examination
from pipeline.doctor.findings import SEVERITIES, Finding, worst_first
from pipeline.wording import few, how_many

if TYPE_CHECKING:
    from rich.table import Table

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


def table_of(findings: Sequence[Finding]) -> Table:
    """One row a finding: how bad, in which dataset, what and where in it, and why it matters."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "dataset", "found", "why it matters", show_lines=True)
    for finding in findings:
        examples = f"\n{'; '.join(finding.examples)}" if finding.examples else ""
        table.add_row(
            Text(finding.severity, COLOURS[finding.severity]),
            Text(finding.where),
            Text(f"{finding.name}: {finding.what}{examples}"),
            Text(finding.why),
        )
    return table


def command_lines(findings: Iterable[Finding]) -> list[str]:
    """The commands that show or mend what was found, each once: `reward_sums: python run.py ...`."""
    names: dict[str, dict[str, None]] = {}
    for finding in findings:
        if finding.command:
            names.setdefault(finding.command, {})[finding.name] = None
    return [f"{', '.join(own)}: {command}" for command, own in names.items()]
