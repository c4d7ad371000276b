"""Several stages for several tasks: one after the other, and one failing task never stops the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.store import ArtifactStore
from pipeline.campaign.console import success_rate
from pipeline.campaign.failures import FAILED, Failure, failure_of
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import ALL, ALL_TASKS, tasks_for
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, InvalidInput, PipelineError, unknown_name
from pipeline.machine.files import write_json
from pipeline.machine.progress import over_tasks

log = logging.getLogger(__name__)

MADE = "artifacts.json"
INPUTS = ("require", "build")

Call = Callable[..., Artifact | None]
Ask = Callable[[str, Callable[..., Any], str | None], Any]
"""(stage, one of its declared functions, task) -> what the function says of the stage's settings for that task."""
BuildInput = Callable[[str, str, tuple[str, ...]], None]
"""(stage, task, overrides) -> None: runs one stage first."""


def run_stages(
    stages: Sequence[str],
    datasets: Callable[[], Mapping[str, Mapping[str, Call]]],
    facts: Mapping[str, StageFacts],
    ask: Ask,
    domain: Domain | None,
    task: str | list[str] | None,
    workspace: ArtifactStore,
    inputs: str,
    build_input: BuildInput,
    folder: Path,
) -> list[Failure]:
    """Run each stage, in the given order, for each task; write `artifacts.json` and `failed.json` into `folder`.

    `datasets` gives the stages' calls for each dataset that is asked for, `facts` what the stages declare. After a
    failure that task's and dataset's later stages are left out.
    """
    failures: list[Failure] = []
    made: list[dict[str, Any]] = []
    for name in (FAILED, MADE):  # a run folder that was named by hand may hold those of an earlier run
        (folder / name).unlink(missing_ok=True)
    calls: Mapping[str, Mapping[str, Call]] = {}
    names: list[str] = []
    looped = [stage for stage in stages if facts[stage].per_task]
    build = build_input if inputs == "build" else None
    try:
        if not stages:
            raise InvalidInput(
                "Say which stage: for example stage=all domain=toy. python run.py --help shows them all."
            )
        if inputs not in INPUTS:
            raise unknown_name("way with missing inputs", inputs, INPUTS)
        calls = datasets()
        if looped:
            first = facts[looped[0]]
            there = None
            if domain is not None and first.tasks is not None and task in (None, ALL):
                there = ask(looped[0], first.tasks, None)
            build_first = inputs == "build" or first.begins
            names = tasks_for(looped, domain, task, list(calls), workspace, build_first, there)
    except PipelineError as error:
        failures.append(failure_of(next(iter(stages), ""), str(task or ""), error, domain))
    if names and (foreseen := _foreseen(looped, facts, ask, names[0], domain)):
        failures.append(foreseen)
        names = []
    with over_tasks(names) as walk:
        for name in walk:
            for own in calls.values():
                for stage in looped:
                    try:
                        call = partial(own[stage], task=name)
                        artifact = _with_inputs(call, stage, name, build)
                    except Exception as error:  # any error of one task must leave the others running; all are reported
                        failures.append(failure_of(stage, f"{domain.name}/{name}" if domain else name, error, domain))
                        break
                    made.append(_done(stage, artifact))
                    write_json(folder / MADE, made)
    for own in list(calls.values())[:1]:
        for stage in (stage for stage in stages if stage not in looped):
            try:
                artifact = _with_inputs(own[stage], stage, "", build)
            except Exception as error:  # reported like the failure of a task
                failures.append(failure_of(stage, domain.name if domain else "", error, domain))
                continue
            if artifact is not None:
                made.append(_done(stage, artifact))
                write_json(folder / MADE, made)
    if failures:
        write_json(folder / FAILED, [asdict(failure) for failure in failures])
    return failures


def _foreseen(
    looped: Sequence[str], facts: Mapping[str, StageFacts], ask: Ask, task: str, domain: Domain | None
) -> Failure | None:
    """What would stop every task at a later stage, hours from now."""
    for stage in looped[1:]:
        foresee = facts[stage].foresee
        try:
            if foresee is not None:
                ask(stage, foresee, task)
        except Exception as error:  # reported like the failure of a task
            return failure_of(stage, domain.name if domain else "", error, domain)
    return None


def _with_inputs(call: Call, stage: str, task: str, build_input: BuildInput | None) -> Artifact | None:
    """Run a stage; with `inputs=build`, make one missing input after the other first."""
    asked: set[tuple[str, str]] = set()
    while True:
        try:
            return call()
        except ArtifactNotFound as error:
            need = (error.stage, task or error.task)
            if build_input is None or need in asked:
                raise
            asked.add(need)
            log.info("%s %s needs %s first", stage, need[1], error.stage)
            build_input(*need, error.overrides)


def _done(stage: str, artifact: Artifact | None) -> dict[str, Any]:
    if artifact is None:
        return {"stage": stage}
    manifest = artifact.manifest
    how = "built" if artifact.built else "found"
    facts = [f"{manifest.counts['states']:,} states"] if "states" in manifest.counts else []
    if "episodes" in manifest.counts:
        facts.insert(0, f"{manifest.counts['episodes']:,} episodes")
    if rate := success_rate(artifact):
        facts.append(f"success {rate}")
    if artifact.built:
        facts.append(f"{manifest.seconds:.1f} s")
    label = manifest.task.removesuffix(f"/{ALL_TASKS}")
    log.info("%s %s %s %s (%s)", stage, label, how, artifact.path, ", ".join(facts))
    for warning in manifest.warnings if artifact.built else []:
        log.warning("  note: %s", warning)
    keys = {"kind": manifest.kind, "task": manifest.task, "version": manifest.version, "digest": manifest.digest}
    return {"stage": stage, "built": artifact.built, "path": str(artifact.path), **keys}
