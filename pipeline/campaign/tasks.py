"""Which tasks a command works on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.artifacts.store import ArtifactStore
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.wording import few

log = logging.getLogger(__name__)

ALL = "all"
ALL_TASKS = "_all"
"""Where an artifact lies that spans tasks, in a task's place."""


def chosen_tasks(domain: Domain | None, only: str | list[str] | None) -> list[str] | None:
    """The tasks that were named, in JAT spelling; None for all."""
    if only is None or only == ALL:
        return None
    names = [only] if isinstance(only, str) else only
    return [domain.task(name) if domain else name for name in names]


def tasks_for(
    stages: Sequence[str],
    domain: Domain | None,
    task: str | list[str] | None,
    datasets: Sequence[str],
    workspace: ArtifactStore,
    build: bool,
    held: Sequence[str] | None = None,
) -> list[str]:
    """The tasks to work on. Unset: those that have the dataset, or all of them where `build` makes datasets.

    `held` are those of all that can be had: from a source, from a repository.
    """
    if domain is None:
        raise InvalidInput(f"stage={','.join(stages)} needs a domain: for example domain=toy or domain=metaworld")
    everything = [name for name in domain.tasks if held is None or name in held]
    if task == ALL:
        return everything
    if task is not None:
        return [domain.task(name) for name in ([task] if isinstance(task, str) else task)]
    if build:
        return everything
    there = [t for t in domain.tasks if any(a.manifest.version in datasets for a in _datasets(workspace, domain, t))]
    if skipped := [t for t in domain.tasks if t not in there]:
        log.info("skipped %d tasks that have no dataset %s: %s", len(skipped), " or ".join(datasets), few(skipped))
    if not there:
        raise InvalidInput(
            f"No task of {domain.name} has the dataset {' or '.join(datasets)} under {workspace.root}.\n"
            f"Make it first: python run.py stage=collect {domain.words} task={domain.tasks[0]}"
        )
    return there


def _datasets(workspace: ArtifactStore, domain: Domain, task: str) -> list[Artifact]:
    return workspace.of_kind(domain.name, task, EPISODES)
