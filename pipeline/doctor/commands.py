"""The commands that show or mend what the doctor finds, as they are pasted."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.command import Command
from pipeline.doctor.block import Subject

MOST_LEFT_OUT = 20
"""So many episodes are named one by one in a command that leaves them out."""


def report_of(subject: Subject) -> str:
    """The command that makes the page of a dataset; empty for foreign data."""
    return _of("report", subject)


def verify_of(subject: Subject) -> str:
    """The command that compares what is stored with its digests; empty for foreign data."""
    if subject.foreign or not subject.domain:
        return ""
    return Command("verify", subject.task, _words(subject)).line()


def select_of(subject: Subject, where: str) -> str:
    """The command that makes a dataset of the episodes that `where` holds for; empty for foreign data."""
    settings = {"stage.select.of": subject.dataset, "stage.select.where": where}
    return _of("select", subject, f"{subject.dataset}-selected", settings)


def leave_out(subject: Subject, episodes: Sequence[int], count: int) -> str:
    """The command that leaves out these episodes, where they are all `count` of them and few enough to be named."""
    numbers = sorted(set(episodes))
    if len(numbers) != count or not 0 < count <= MOST_LEFT_OUT or count == subject.episodes:
        return report_of(subject)
    return select_of(subject, " and ".join(f"episode != {number}" for number in numbers))


def _of(stage: str, subject: Subject, dataset: str = "", settings: dict[str, str] | None = None) -> str:
    if subject.foreign or not subject.domain:
        return ""
    return Command(
        stage, subject.task, _words(subject), {"dataset": dataset or subject.dataset, **(settings or {})}
    ).line()


def _words(subject: Subject) -> str:
    return subject.simulator.words if subject.simulator else f"domain={subject.domain}"
