"""Which tasks foreign data hold, where nobody named one; nothing of them is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.dataset.amount import Amount
from pipeline.doctor.block import Subject
from pipeline.domains.domain import Domain
from pipeline.errors import UnknownName
from pipeline.sources.contract import BulkSource, Source

FOREIGN = "foreign"
"""The domain and the task by which a door is asked where nobody named one: most take any name."""


@dataclass(frozen=True)
class ForeignTask:
    """A task of foreign data, under the names by which their door knows it, and what that says of it."""

    domain: str
    task: str
    identity: Mapping[str, Any] = field(default_factory=dict)

    def subject(self, source: Source | BulkSource, domain: Domain | None, place: str, amount: Amount) -> Subject:
        """What is known before it is read. `place` is where the data lie, in words."""
        count = source.count(self.domain, self.task) if isinstance(source, Source) else None
        if amount.episodes is not None:
            count = amount.episodes if count is None else min(count, amount.episodes)
        family, task = ("" if name == FOREIGN else name for name in (self.domain, self.task))
        label = "/".join(name for name in (family, task) if name) if task else ""
        return Subject(
            " ".join(word for word in (source.name, place, label) if word),
            family,
            task,
            parameters={"source": dict(self.identity)},
            foreign=True,
            simulator=domain if domain and task in domain.tasks else None,
            episodes=count,
        )


def foreign_tasks(
    source: Source | BulkSource, domain: Domain | None, tasks: Sequence[str] | None
) -> Iterator[ForeignTask]:
    """The named tasks of foreign data; where none is named, those that the door says it has, or their only one.

    Raises UnknownName for a name that the door does not know.
    """
    family = domain.name if domain else FOREIGN
    names = tasks or _listed(source, domain, family)
    if names is None:
        try:
            yield ForeignTask(family, FOREIGN, source.identity(family, FOREIGN))
            return
        except UnknownName as error:  # there are several
            if not error.known:
                raise
            names = error.known
    for name in names:
        yield _task(source, family, name)


def _listed(source: Source | BulkSource, domain: Domain | None, family: str) -> Sequence[str] | None:
    """The names that a door gives without being asked for one; in the domain's own spelling where it has them."""
    there = source.tasks(domain.name) if domain else None
    there = source.present(family) if there is None else there
    return None if there is None else [_own_name(domain, name) for name in there]


def _own_name(domain: Domain | None, name: str) -> str:
    try:
        return domain.task(name) if domain else name
    except UnknownName:  # it is no task of the domain, and is examined under its own name
        return name


def _task(source: Source | BulkSource, family: str, name: str) -> ForeignTask:
    """A task by its name, which may hold the name of its domain."""
    try:
        return ForeignTask(family, name, source.identity(family, name))
    except UnknownName:
        other, slash, task = name.partition("/")
        if not slash:
            raise
        return ForeignTask(other, task, source.identity(other, task))
