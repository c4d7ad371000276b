"""Doctor: what is wrong with datasets, ours or foreign, for whoever is going to train on them. Repairs nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from beartype import beartype

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.campaign.console import wide_console
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import ALL, chosen_tasks, needs_domain
from pipeline.command import again, making, typed
from pipeline.dataset.amount import Amount
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.block import Subject
from pipeline.doctor.checks import checks_of, chosen_checks
from pipeline.doctor.examine import Examination, examine
from pipeline.doctor.examined import subject_of
from pipeline.doctor.findings import Finding
from pipeline.doctor.foreign import foreign_tasks
from pipeline.doctor.outside import OutsideChecks
from pipeline.doctor.reading import foreign_blocks, stored_blocks
from pipeline.doctor.thresholds import Thresholds
from pipeline.doctor.words import all_findings, found_words, print_findings, report_json, verdict_words
from pipeline.domains.domain import Domain
from pipeline.errors import DamagedArtifact, InvalidInput, PipelineError
from pipeline.machine.files import write_json
from pipeline.machine.secrets import without_secrets
from pipeline.machine.threads import available_cores
from pipeline.sources.contract import BulkSource, Source
from pipeline.wording import few, how_many

log = logging.getLogger(__name__)


class FaultyData(PipelineError):
    """Errors were found in the data."""


FACTS = StageFacts(per_task=False)


@beartype
def run(
    *,
    domain: Domain | None,
    only_tasks: str | list[str] | None,
    dataset: str,
    datasets: str | list[str] | None,
    episodes: int | None,
    source: Source | BulkSource | None,
    workspace: Workspace,
    only: list[str] | None,
    skip: list[str] | None,
    json: str | None,
    thresholds: Thresholds,
    against: list[str] | None = None,
    replay: int = 0,
    workers: int | None = None,
) -> None:
    """Examine every chosen dataset in one pass each; print what was found, and write it to the file `json`.

    Of ours: those of the chosen tasks of `domain` with the name `dataset`, or with the names of `datasets`, where these
    are set, or `all` that are there. With a `source`: what its door reads, which is not stored. Datasets `against` must
    share no episode with these; `replay` episodes of each are stepped again. Raises FaultyData where an error was
    found.
    """
    names = chosen_checks(only, skip)
    place = _place(json) if json else None
    outside = OutsideChecks(names, against or (), replay, workers)
    across: list[Finding] = []
    if source is None:
        examinations = []
        asked = [dataset] if datasets is None else datasets
        for subject, artifact in _stored(domain, only_tasks, asked, episodes, workspace):
            assert domain is not None
            seen = Examination.of_nothing(subject)
            try:
                blocks = stored_blocks(EpisodeDataset.of(artifact))
                seen = examine(subject, blocks, checks_of(names, subject, thresholds))
                seen = outside.of_stored(seen, artifact, domain, workspace)
            except DamagedArtifact as error:  # of this one, or of one that it is compared with; the others are examined
                seen = seen.cut_short(error)
            examinations.append(seen)
        if domain and only_tasks in (None, ALL) and ALL not in asked:
            named = [asked] if isinstance(asked, str) else asked
            across += [finding for name in named for finding in outside.of_tasks(domain, name, workspace)]
    else:
        amount, cores = Amount(episodes), workers or available_cores()
        tasks = None if only_tasks in (None, ALL) else chosen_tasks(domain, only_tasks)
        examinations = []
        for each in foreign_tasks(source, domain, tasks):
            subject = each.subject(source, domain, _typed_place(), amount)
            blocks = foreign_blocks(source, each.domain, each.task, amount, workspace.storage, cores)
            seen = examine(subject, blocks, checks_of(names, subject, thresholds))
            examinations.append(outside.of_foreign(seen, workspace))
    _show(examinations, across)
    if place:
        write_json(place, report_json(examinations, across))
        log.info("doctor: written to %s", json)
    errors = [finding for finding in all_findings(examinations, across) if finding.severity == "error"]
    if errors:
        where = dict.fromkeys(finding.where for finding in errors)
        stand = "It stands" if len(errors) == 1 else "They stand"
        raise FaultyData(f"{how_many(len(errors), 'errors')} in {few(list(where))}. {stand} above.")


def _stored(
    domain: Domain | None,
    asked: str | list[str] | None,
    datasets: str | list[str],
    episodes: int | None,
    workspace: Workspace,
) -> Iterator[tuple[Subject, Artifact]]:
    """The datasets of ours. Raises InvalidInput where one that was named is nowhere, or none is there."""
    if domain is None:
        raise needs_domain(["doctor"], workspace)
    names = [datasets] if isinstance(datasets, str) else datasets
    tasks = chosen_tasks(domain, asked)
    there = {
        task: dict.fromkeys(each.manifest.version for each in workspace.of_kind(domain.name, task, EPISODES))
        for task in (domain.tasks if tasks is None else tasks)
    }
    others = {name for names_there in there.values() for name in names_there}
    absent = [] if ALL in names else [name for name in names if name not in others]
    if absent or not others or not names:  # before the first is read: what was found in it would not be shown
        raise _nothing_there(domain, tasks, absent or names, list(others), workspace)
    for task, names_there in there.items():
        for name in names_there if ALL in names else [name for name in names if name in names_there]:
            artifact = workspace.dataset(domain.name, task, name, episodes)
            yield subject_of(artifact, domain), artifact


def _nothing_there(
    domain: Domain, tasks: list[str] | None, names: list[str], others: list[str], workspace: Workspace
) -> InvalidInput:
    asked = f"has the dataset {' or '.join(names)}" if names and ALL not in names else "has a dataset"
    message = f"No task of {domain.name} that was asked for {asked} under {workspace.root}."
    if others:
        every = again(stage__doctor__datasets=ALL)
        return InvalidInput(f"{message} There are {few(sorted(others))}.\nExamine them all: {every}")
    name = "scripted-v1" if ALL in names or not names else names[0]
    command = making(name, (tasks or list(domain.tasks))[0], domain.words)
    return InvalidInput(f"{message}\nMake one first: {command.line()}")


def _place(json: str) -> Path:
    """The file for programs. Raises InvalidInput, before anything is read, for a folder or one that is not there."""
    place = Path(json).expanduser()
    if place.is_dir():
        raise InvalidInput(f"stage.doctor.json={json} is a folder; name a file in it.")
    if not place.parent.is_dir():
        raise InvalidInput(f"stage.doctor.json={json} cannot be written: there is no folder {place.parent}.")
    return place


def _typed_place() -> str:
    """Where the foreign data lie, as it was typed: identities hold no path."""
    words = [word.partition("=") for word in typed().words]
    return next((value for key, _, value in words if key in ("source.path", "source.root")), "")


def _show(examinations: list[Examination], across: list[Finding]) -> None:
    """What was found, the worst first, and a line for each dataset."""
    console = wide_console()
    print_findings(console, found := all_findings(examinations, across))
    for each in examinations:
        console.print(without_secrets(verdict_words(each)), markup=False, highlight=False, soft_wrap=True)
    if found and len(examinations) > 1:
        console.print(f"{how_many(len(examinations), 'datasets')}: {found_words(found)}", markup=False, highlight=False)
