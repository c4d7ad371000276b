"""Several stages for several tasks: one after the other, and one failing task never stops the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pipeline.artifacts.store import ArtifactStore
from pipeline.campaign.failures import Failure
from pipeline.campaign.job import DONE, JOB_FAILED, JobRecord, job_record
from pipeline.campaign.record import Begun, RunRecord, nobody
from pipeline.campaign.stage import PiecesMade, Settings, StageFacts, StageResult
from pipeline.campaign.tasks import ALL, Asked, tasks_for
from pipeline.command import COLLECT, Command, key_of, typed
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, InvalidInput, unknown_name
from pipeline.machine.progress import over_tasks

log = logging.getLogger(__name__)

INPUTS = REQUIRE, BUILD = ("require", "build")

BuildInput = Callable[[Command], None]
"""Runs one command first."""


@dataclass(frozen=True)
class Campaign:
    """What one command asks for.

    Attributes:
        stages: the asked stages in their order, with what they declare.
        datasets: the settings of each dataset that is asked for, by its name; a stage that runs once takes the first.
        task: one task, several, `all`, or None for those that fit.
        inputs: `require` or `build`: what to do about an input that is missing.
        build_input: makes one.

    Raises InvalidInput where no stage is asked for, for another `inputs`, and where a stage reads a dataset that has
    no name.
    """

    stages: Mapping[str, StageFacts]
    datasets: Mapping[str, Settings]
    domain: Domain | None
    task: str | list[str] | None
    store: ArtifactStore
    inputs: str
    build_input: BuildInput

    def __post_init__(self) -> None:
        if not self.stages:
            begin = "export" if any(key_of(word) == "format" for word in typed().words) else COLLECT
            raise InvalidInput(
                f"Say which stage: stage=NAME. --help shows them all.\n"
                f"Begin with: {Command(begin, domain='domain=toy').line()}"
            )
        readers = [name for name, facts in self.stages.items() if not facts.names_dataset]
        if "" in self.datasets and readers:
            raise InvalidInput(f"stage={readers[0]} cannot know which dataset it is to read: say dataset=NAME, too.")
        if self.inputs not in INPUTS:
            raise unknown_name("way with missing inputs", self.inputs, INPUTS)

    @cached_property
    def looped(self) -> list[str]:
        """The stages that run for each task."""
        return [stage for stage, facts in self.stages.items() if self._is_per_task(stage, facts)]

    @property
    def once(self) -> list[str]:
        """The others."""
        return [stage for stage in self.stages if stage not in self.looped]

    def _is_per_task(self, stage: str, facts: StageFacts) -> bool:
        if callable(facts.per_task) and self.domain is not None:  # without one, no settings can be asked
            return bool(self.settings.ask(stage, facts.per_task, None))
        return bool(facts.per_task)

    @property
    def settings(self) -> Settings:
        """Those of the first dataset: what all of them agree on."""
        return next(iter(self.datasets.values()))

    def label(self, task: str = "") -> str:
        """`metaworld/assembly`, or `metaworld` where no task is meant."""
        return "/".join(word for word in (self.domain.name if self.domain else "", task) if word)


def _tasks(campaign: Campaign) -> list[str]:
    """The tasks of the stages that run for each; none where all stages run once."""
    if not campaign.looped:
        return []
    first = campaign.looped[0]
    facts = campaign.stages[first]
    held = None
    if facts.tasks is not None and campaign.domain is not None and campaign.task in (None, ALL):
        held = campaign.settings.ask(first, facts.tasks, None)
    begins = facts.begins or campaign.inputs == BUILD
    asked = Asked(campaign.looped, campaign.task, list(campaign.datasets), begins)
    if facts.reads is not None and campaign.domain is not None:
        asked = replace(asked, datasets=campaign.settings.ask(first, facts.reads, None), needs_all=True)
    return tasks_for(asked, campaign.domain, campaign.store, held)


def run_campaign(compose: Callable[[], Campaign], folder: Path, begun: Begun = nobody) -> list[Failure]:
    """Run each stage, in the given order, for each task; write `artifacts.json`, `failed.json` and
    `job.json` into `folder`.

    After a failure that task's and dataset's later stages are left out; after one whose cause is no task's (a full
    disk, no network), all later tasks are. Errors of `compose`, too, are failures of the run. `begun` is told each
    stage and task before it begins.
    """
    with job_record(folder) as job:

        def begins(stage: str, task: str) -> None:
            job.at(stage, task)
            begun(stage, task)

        record = RunRecord(folder, begins)
        _run_all(compose, record, job)
        job.end(JOB_FAILED if record.failures else DONE)
    return record.failures


def _run_all(compose: Callable[[], Campaign], record: RunRecord, job: JobRecord) -> None:
    campaign: Campaign | None = None
    try:
        campaign = compose()
        tasks = _tasks(campaign)
    except Exception as error:  # reported like the failure of a task
        stage = next(iter(campaign.stages)) if campaign else ""
        record.failed(stage, campaign.label() if campaign else "", error, campaign.domain if campaign else None)
        return
    job.asks(campaign.label(), [*campaign.stages], tasks)
    if not tasks or _nothing_foreseen(campaign, tasks, record):
        _run_looped(campaign, tasks, record, job)
    _run_once(campaign, record)


def _nothing_foreseen(campaign: Campaign, tasks: list[str], record: RunRecord) -> bool:
    """Look for what would stop every task, at once or at a later stage, hours from now: settings that cannot be."""
    for stage in campaign.looped:
        facts = campaign.stages[stage]
        record.begun(stage, campaign.label(tasks[0] if len(tasks) == 1 else ""))
        try:
            campaign.settings.ask(stage, facts.foresee or _nothing, tasks[0])
            if facts.foresee_several and len(tasks) > 1:
                campaign.settings.ask(stage, facts.foresee_several, tasks[0])
        except Exception as error:  # reported like the failure of a task
            label = campaign.label(tasks[0] if len(tasks) == 1 else "")
            record.failed(stage, label, error, campaign.domain)
            return False
    return True


def _nothing() -> None:
    """What a stage foresees that declares nothing: its settings are built for it, which is the check."""


def _run_looped(campaign: Campaign, tasks: list[str], record: RunRecord, job: JobRecord) -> None:
    with over_tasks(tasks) as walk:
        for number, task in enumerate(walk, start=1):
            for settings in campaign.datasets.values():
                failure = _run_task(campaign, settings, task, record)
                if failure is not None and failure.shared:
                    record.not_tried(tasks[number:])
                    job.over(len(tasks))
                    return
            job.over(number)


def _run_task(campaign: Campaign, settings: Settings, task: str, record: RunRecord) -> Failure | None:
    """One task's stages for one dataset, up to the first that fails."""
    for stage in campaign.looped:
        record.begun(stage, campaign.label(task))
        try:
            artifact = _with_inputs(campaign, settings, stage, task)
        except Exception as error:  # any error of one task must leave the others running; all are reported
            return record.failed(stage, campaign.label(task), error, campaign.domain)
        record.done(stage, artifact)
        if isinstance(artifact, PiecesMade):  # what comes after it has nothing to read
            return None
    return None


def _run_once(campaign: Campaign, record: RunRecord) -> None:
    for stage in campaign.once:
        record.begun(stage, campaign.label())
        try:
            artifact = _with_inputs(campaign, campaign.settings, stage, None)
        except Exception as error:  # reported like the failure of a task
            record.failed(stage, campaign.label(), error, campaign.domain)
        else:
            record.done(stage, artifact)


def _with_inputs(campaign: Campaign, settings: Settings, stage: str, task: str | None) -> StageResult:
    """Run a stage; with `inputs=build`, make one missing input after the other first."""
    asked: list[Command] = []
    while True:
        try:
            return settings.call(stage, task)
        except ArtifactNotFound as error:
            need = error.command
            if campaign.inputs != BUILD or need in asked:
                raise
            asked.append(need)
            log.info("%s %s needs %s first", stage, task or need.task, need.stages[0])
            campaign.build_input(need)
