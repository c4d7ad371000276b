"""Several stages for several tasks: one after the other, and one failing task never stops the others."""

from __future__ import annotations

import errno
import json
import logging
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from beartype.roar import BeartypeCallHintViolation
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.artifact import Artifact
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, InvalidInput, PipelineError, unknown_name
from pipeline.machine.files import write_json
from pipeline.machine.progress import over_tasks
from pipeline.artifacts.workspace import EPISODES, Workspace
from stages.catalog import success_rate, wide_console

log = logging.getLogger(__name__)

FAILED = "failed.json"
MADE = "artifacts.json"
INGEST = "ingest"
DOORS = ("collect", INGEST)
FETCH = "fetch"
FORESEEING = ("embeddings",)
"""Stages that, called without a task, fail where they would fail for all tasks, whatever these hold."""
ALL_TASKS = "_all"
"""Where an artifact lies that spans tasks, in a task's place."""
INPUTS = ("require", "build")

Call = Callable[..., Artifact | None]
BuildInput = Callable[[str, str, tuple[str, ...]], None]
"""(stage, task, overrides) -> None: runs one stage first."""


@dataclass(frozen=True)
class Failure:
    """One stage of one task that did not finish."""

    stage: str
    task: str
    message: str
    traceback: str


def run_stages(
    stages: Sequence[str],
    datasets: Callable[[], Mapping[str, Mapping[str, Call]]],
    per_task: Sequence[str],
    domain: Domain | None,
    task: str | list[str] | None,
    workspace: Workspace,
    inputs: str,
    build_input: BuildInput,
    offered: Callable[[], list[str]],
    held: Callable[[], list[str] | None],
    folder: Path,
) -> list[Failure]:
    """Run each stage, in the given order, for each task; write `artifacts.json` and `failed.json` into `folder`.

    `datasets` gives the stages' calls for each dataset that is asked for. `per_task` names the stages that run once for
    every task and dataset; the others run once. After a failure that task's and dataset's later stages are left out.
    `offered` gives the tasks that the repository to fetch from has, `held` those that the source to ingest from can
    have, where it tells.
    """
    failures: list[Failure] = []
    made: list[dict[str, Any]] = []
    for name in (FAILED, MADE):  # a run folder that was named by hand may hold those of an earlier run
        (folder / name).unlink(missing_ok=True)
    calls: Mapping[str, Mapping[str, Call]] = {}
    names: list[str] = []
    looped = [stage for stage in stages if stage in per_task]
    build = build_input if inputs == "build" else None
    try:
        if not stages:
            raise InvalidInput(
                "Say which stage: for example stage=all domain=toy. python run.py --help shows them all."
            )
        if inputs not in INPUTS:
            raise unknown_name("way with missing inputs", inputs, INPUTS)
        calls = datasets()
        if looped[:1] == [FETCH] and task is None and domain is not None:
            names = offered()
        elif looped:
            there = held() if looped[0] == INGEST else None
            names = tasks_for(looped, domain, task, list(calls), workspace, inputs == "build", there)
    except PipelineError as error:
        failures.append(_failed(next(iter(stages), ""), str(task or ""), error, domain))
    if names and (foreseen := _foreseen(looped, calls, domain)):
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
                        failures.append(_failed(stage, f"{domain.name}/{name}" if domain else name, error, domain))
                        break
                    made.append(_done(stage, artifact))
                    write_json(folder / MADE, made)
    for own in list(calls.values())[:1]:
        for stage in (stage for stage in stages if stage not in looped):
            try:
                artifact = _with_inputs(own[stage], stage, "", build)
            except Exception as error:  # reported like the failure of a task
                failures.append(_failed(stage, domain.name if domain else "", error, domain))
                continue
            if artifact is not None:
                made.append(_done(stage, artifact))
                write_json(folder / MADE, made)
    if failures:
        write_json(folder / FAILED, [asdict(failure) for failure in failures])
    return failures


def tasks_for(
    stages: Sequence[str],
    domain: Domain | None,
    task: str | list[str] | None,
    datasets: Sequence[str],
    workspace: Workspace,
    build: bool,
    held: Sequence[str] | None = None,
) -> list[str]:
    """The tasks to work on. Unset: all of them, or for reading stages those that have the dataset.

    `held` are those of all that a source can have.
    """
    if domain is None:
        raise InvalidInput(f"stage={','.join(stages)} needs a domain: for example domain=toy or domain=metaworld")
    everything = [name for name in domain.tasks if held is None or name in held]
    if task == "all":
        return everything
    if task is not None:
        return [domain.task(name) for name in ([task] if isinstance(task, str) else task)]
    if build or stages[0] in DOORS:
        return everything
    there = [t for t in domain.tasks if any(a.manifest.version in datasets for a in _datasets(workspace, domain, t))]
    if skipped := [t for t in domain.tasks if t not in there]:
        log.info("skipped %d tasks that have no dataset %s: %s", len(skipped), " or ".join(datasets), _few(skipped))
    if not there:
        raise InvalidInput(
            f"No task of {domain.name} has the dataset {' or '.join(datasets)} under {workspace.root}.\n"
            f"Make it first: python run.py stage=collect {domain.words} task={domain.tasks[0]}"
        )
    return there


def print_failures(folder: Path) -> int:
    """Print every failure of a run or sweep as one table (a single one was printed already); returns how many."""
    entries = [entry for path in sorted(folder.glob(f"**/{FAILED}")) for entry in json.loads(path.read_text())]
    if len(entries) > 1:
        table = Table("stage", "task", "why", title=f"{len(entries)} failed", title_justify="left", show_lines=True)
        for entry in entries:
            table.add_row(entry["stage"], entry["task"], Text(entry["message"]))
        wide_console(stderr=True).print(table)
    return len(entries)


def _foreseen(looped: Sequence[str], calls: Mapping[str, Mapping[str, Call]], domain: Domain | None) -> Failure | None:
    """What would stop every task at a later stage, hours from now. Datasets differ in nothing that matters to it."""
    own = next(iter(calls.values()))
    for stage in (each for each in looped[1:] if each in FORESEEING):
        try:
            own[stage]()
        except Exception as error:  # reported like the failure of a task
            return _failed(stage, domain.name if domain else "", error, domain)
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


def _failed(stage: str, task: str, error: Exception, domain: Domain | None) -> Failure:
    error = _root(error)
    if isinstance(error, ArtifactNotFound) and domain is not None:
        error.domain = domain.words
    message = str(error)
    if isinstance(error, OSError) and not isinstance(error, PipelineError):
        message = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
        if error.errno == errno.ENOSPC or "No space left" in message:
            message = (
                f"The disk is full ({error.filename or 'see the log'}). Free some space, or set paths.root to a larger "
                f"disk, and run the same command again: it goes on where it stopped."
            )
    elif isinstance(error, BeartypeCallHintViolation):
        message = f"A setting is of the wrong type. {str(error).removeprefix('Function ')}"
    elif not isinstance(error, PipelineError):
        message = f"{type(error).__name__}: {error} (the traceback is in {FAILED} of the run folder)"
    trace = "".join(traceback.format_exception(error))
    log.error("%s %s failed: %s", stage, task, message)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        log.error("%s", trace)
    return Failure(stage, task, message, trace)


def _root(error: Exception) -> Exception:
    """The plain error inside what a library wrapped around it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, PipelineError):
            return inner
        inner = inner.__cause__
    return error


def _datasets(workspace: Workspace, domain: Domain, task: str) -> list[Artifact]:
    return workspace.of_kind(domain.name, task, EPISODES)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
