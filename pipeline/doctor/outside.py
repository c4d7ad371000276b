"""What one pass over a dataset cannot know: what other datasets hold, what is missing, what the simulator does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.block import Subject
from pipeline.doctor.duplicates import DuplicatesCheck
from pipeline.doctor.examine import Examination
from pipeline.doctor.findings import Finding, worst_first
from pipeline.doctor.leaks import Other, compared, leaks
from pipeline.doctor.missing import tasks_without, too_few
from pipeline.doctor.prints import Prints, prints_of
from pipeline.doctor.replay import not_replayed, replayed
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.machine.threads import available_cores

LEAKS, MISSING, REPLAY = OUTSIDE = ("leaks", "missing", "replay")
"""The names of these checks."""


@dataclass(frozen=True)
class OutsideChecks:
    """What is asked besides one pass over each dataset.

    Attributes:
        names: of all checks that are made.
        against: datasets of the same task that must share no episode with the one that is examined.
        replay: so many episodes of each dataset are stepped again.
        workers: processes that do so; None: one for each core.

    Raises InvalidInput for fewer episodes than none.
    """

    names: Sequence[str]
    against: Sequence[str] = ()
    replay: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.replay < 0:
            raise InvalidInput(
                f"stage.doctor.replay={self.replay} must be how many episodes are stepped again: 0 or more."
            )

    @property
    def made(self) -> tuple[str, ...]:
        """Those of these checks that are made of a single dataset."""
        return tuple(name for name in OUTSIDE if name in self.names and (name != REPLAY or self.replay))

    def of_stored(
        self, examination: Examination, artifact: Artifact, domain: Domain, workspace: Workspace
    ) -> Examination:
        """The examination of a dataset of ours, with what these checks find.

        Raises ArtifactNotFound where a dataset of `against` is not there.
        """
        return self._with(examination, self._of_stored(examination, artifact, domain, workspace))

    def of_foreign(self, examination: Examination, workspace: Workspace) -> Examination:
        """The examination of foreign data, which are compared with the datasets `against` alone.

        Raises InvalidInput where domain and task of those are not known, ArtifactNotFound where one is not there.
        """
        found = self._of_foreign(examination, workspace)
        names = tuple(
            name for name in self.made if (name == LEAKS and self.against) or (name == REPLAY and self.replay)
        )
        return self._with(examination, found, names)

    def of_tasks(self, domain: Domain, dataset: str, workspace: Workspace) -> Iterator[Finding]:
        """Which tasks of a domain lack a dataset, or hold less of it than others."""
        if MISSING not in self.names:
            return
        there: dict[str, Artifact] = {}
        for task in domain.tasks:
            named = [
                each for each in workspace.of_kind(domain.name, task, EPISODES) if each.manifest.version == dataset
            ]
            there |= {task: named[0]} if named else {}
        yield from tasks_without(domain, dataset, there)

    def _with(
        self, examination: Examination, found: Iterator[Finding], names: tuple[str, ...] | None = None
    ) -> Examination:
        findings = worst_first([*examination.findings, *found])
        return replace(
            examination, findings=findings, checked=(*examination.checked, *(self.made if names is None else names))
        )

    def _of_stored(
        self, examination: Examination, artifact: Artifact, domain: Domain, workspace: Workspace
    ) -> Iterator[Finding]:
        if LEAKS in self.names:
            prints = _prints(examination) or prints_of(EpisodeDataset.of(artifact))
            yield from compared(artifact, prints, self.against, workspace)
        if MISSING in self.names:
            yield from too_few(artifact)
        if REPLAY in self.made:
            yield from replayed(artifact, domain, self.replay, self.workers or available_cores())

    def _of_foreign(self, examination: Examination, workspace: Workspace) -> Iterator[Finding]:
        subject, prints = examination.subject, _prints(examination)
        if LEAKS in self.names and self.against and prints:
            require_task(subject)
            named = [workspace.dataset(subject.domain, subject.task, name) for name in self.against]
            others = [Other.of(each, "which was named to be compared") for each in named]
            yield from leaks(subject.where, prints, others)
        if REPLAY in self.made:
            yield not_replayed(subject.where, "foreign data are not stored here; ingest them first")


def require_task(subject: Subject) -> None:
    """Raises InvalidInput for foreign data of which no task is known, so that no dataset is of the same."""
    if not subject.domain or not subject.task:
        raise InvalidInput("stage.doctor.against names datasets of a task: say which, domain=NAME task=NAME.")


def _prints(examination: Examination) -> Prints | None:
    """Those that the check of duplicates has kept, where it was made."""
    check = examination.check(DuplicatesCheck.name)
    return check.prints if isinstance(check, DuplicatesCheck) else None
