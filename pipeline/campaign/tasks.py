"""Which tasks a command works on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.artifacts.artifact import EPISODES
from pipeline.artifacts.store import ArtifactStore
from pipeline.command import COLLECT, DOORS, Command, domain_words, making
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.wording import few, how_many

log = logging.getLogger(__name__)

ALL = "all"


def chosen_tasks(domain: Domain | None, only: str | list[str] | None) -> list[str] | None:
    """The tasks that were named, in JAT spelling; None for all."""
    if only is None or only == ALL:
        return None
    names = [only] if isinstance(only, str) else only
    return [domain.task(name) if domain else name for name in names]


@dataclass(frozen=True)
class Asked:
    """What a command says about its tasks.

    Attributes:
        stages: those that run for each task.
        task: one task, several, `all`, or None.
        datasets: the names of the datasets that are asked for.
        begins: a dataset need not be there: the first stage makes it, or missing inputs are made.
        needs_all: a task needs all of the datasets; else one of them will do.
    """

    stages: Sequence[str]
    task: str | list[str] | None
    datasets: Sequence[str]
    begins: bool = False
    needs_all: bool = False


def tasks_for(
    asked: Asked, domain: Domain | None, store: ArtifactStore, held: Sequence[str] | None = None
) -> list[str]:
    """The tasks to work on. Unset: those that have a dataset, or all of them where none need be there.

    `held` are those of all that can be had: from a source, from a repository. Raises InvalidInput without a domain and
    where no task has a dataset, UnknownName for a task that the domain does not have.
    """
    if domain is None:
        raise needs_domain(asked.stages, store)
    if asked.task == []:
        raise InvalidInput("task=[] names no task. Leave it out, or name some: 'task=[NAME,NAME]'")
    if asked.task not in (None, ALL):
        return chosen_tasks(domain, asked.task) or []
    if asked.task == ALL or asked.begins:
        return [name for name in domain.tasks if held is None or name in held]
    return _with_dataset(domain, store, asked.datasets, asked.needs_all)


def _with_dataset(domain: Domain, store: ArtifactStore, datasets: Sequence[str], needs_all: bool) -> list[str]:
    """The tasks that have one of the datasets, or all of them; says which have not."""
    names = (" and " if needs_all else " or ").join(datasets)
    enough = all if needs_all else any
    have = {
        task: {each.manifest.version for each in store.of_kind(domain.name, task, EPISODES)} for task in domain.tasks
    }
    there = [task for task in domain.tasks if enough(name in have[task] for name in datasets)]
    if skipped := [task for task in domain.tasks if task not in there]:
        log.info("skipped %s without the dataset %s: %s", how_many(len(skipped), "tasks"), names, few(skipped))
    if not there:
        task = max(domain.tasks, key=lambda each: len(have[each] & {*datasets}))
        missing = next(name for name in datasets if name not in have[task])
        command = making(missing, task, domain.words)
        raise InvalidInput(
            f"No task of {domain.name} has the dataset {names} under {store.root}.\nMake it first: {command.line()}"
        )
    return there


def needs_domain(stages: Sequence[str], store: ArtifactStore) -> InvalidInput:
    """The error of a stage without a domain: what to type, with a domain that has artifacts where there is one."""
    message = f"stage={','.join(stages)} needs a domain: domain=NAME"
    first = next(store.all(None, []), None)
    if first is not None:
        words = domain_words(first.manifest.command, first.domain)
        return InvalidInput(f"{message}\nThe first that has artifacts here: {Command(domain=words).line()}")
    toy = Command("" if stages[0] in DOORS else COLLECT, domain="domain=toy")
    return InvalidInput(f"{message}\nBegin with a small one: {toy.line()}")
