"""Sync: copies of finished artifacts, between this store and another one: a folder, or a mirror at an address."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypedDict, Unpack

from beartype import beartype
from rich.table import Table

from pipeline.artifacts.store import ArtifactStore
from pipeline.campaign.console import wide_console
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import chosen_tasks
from pipeline.command import Command, again
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.machine.files import human_bytes
from pipeline.sync.choice import Lineage, artifacts_to_copy
from pipeline.sync.compare import Step
from pipeline.sync.end import End, artifacts_of, folder_end, opened_end, require_other
from pipeline.sync.run import FROM, TO, Copies
from pipeline.wording import how_many

log = logging.getLogger(__name__)

FACTS = StageFacts(per_task=False)

OtherEnd = TypedDict("OtherEnd", {"from": str | None, "to": str | None})
"""The other store: where artifacts come from, or go to. One of the two is set. (`from` can be no parameter's name.)"""


@beartype
def run(
    *,
    domain: Domain | None,
    only: str | list[str] | None,
    workspace: ArtifactStore,
    names: list[str] | None,
    parents: bool,
    replace: bool,
    dry_run: bool,
    **other: Unpack[OtherEnd],
) -> None:
    """Copy the artifacts of the chosen tasks that the other side does not have, by the digests of their content.

    Raises InvalidInput that lists what was not copied, and why: another artifact of that name is there, or files are
    not what their manifest lists, or the manifest cannot be read. All else is copied then.
    """
    asked, sends = _asked(other)
    tasks = chosen_tasks(domain, only)
    with opened_end(asked, TO if sends else FROM, sends, _folders(domain, tasks)) as end:
        own = folder_end(workspace)
        require_other(own, end, TO if sends else FROM)
        source, target = (own, end) if sends else (end, own)
        artifacts, unreadable = artifacts_of(source, domain.name if domain else None, tasks)
        lineage = Lineage(artifacts)
        copies = Copies(source, target, lineage, asked, sends, replace)
        found = artifacts_to_copy(lineage, tasks, names, parents)
        if not found:
            raise InvalidInput(f"No artifact to copy is under {source.remote.address}{_of(domain, tasks)}.")
        steps = copies.plan(found)
        if dry_run:
            _show(steps)
        else:
            steps = copies.carry_out(steps)
        log.info("%s", _summary(steps, target.remote.address, dry_run))
        reasons = [f"{place}: {reason}" for place, reason in copies.refused.items()]
        reasons += unreadable if names is None else []
        if reasons:
            asked_for = how_many(len(found) + len(reasons) - len(copies.refused), "artifacts")
            mend = [_mended(end, asked)] if len(reasons) > len(copies.refused) and not sends else []
            raise InvalidInput("\n".join([f"Not copied: {len(reasons):,} of {asked_for}.", *reasons, *mend]))


def _mended(end: End, asked: str) -> str:
    """How what cannot be read at the other end is made whole."""
    if end.is_folder:
        command = Command("verify", settings={FROM: None, "paths.root": asked})
        return f"What is damaged there, and how it is made again: {command.line()}"
    return f"A store that has it sends it again: {Command(settings={FROM: None, TO: asked}).line()}"


def _asked(other: OtherEnd) -> tuple[str, bool]:
    """The other store, and whether artifacts go to it. Raises InvalidInput unless one of the two settings is set."""
    given = {key: value for key, value in other.items() if value is not None}
    if len(given) > 1:
        raise InvalidInput(f"Both {TO} and {FROM} are set. Leave one out: the other end is this store.")
    for key, value in given.items():
        return str(value), key == "to"
    raise InvalidInput(
        f"Say where artifacts go: {again(stage__sync__to='FOLDER')}\n"
        f"or where they come from: {again(stage__sync__from='FOLDER')}"
    )


def _folders(domain: Domain | None, tasks: Sequence[str] | None) -> list[str]:
    if domain is None:
        return []
    return [domain.name] if tasks is None else [f"{domain.name}/{task}" for task in tasks]


def _of(domain: Domain | None, tasks: Sequence[str] | None) -> str:
    words = [f"domain={domain.name}"] if domain else []
    words += [f"task={','.join(tasks)}"] if tasks is not None else []
    return f" of {' '.join(words)}" if words else ""


def _show(steps: Sequence[Step]) -> None:
    """The dry run's table."""
    table = Table(box=None, pad_edge=False)
    for column in ("artifact", "files", "size", "what"):
        table.add_column(column, justify="right" if column in ("files", "size") else "left", no_wrap=True)
    for step in steps:
        table.add_row(step.name, f"{len(step.files):,}", human_bytes(step.size), step.words())
    wide_console().print(table)


def _summary(steps: Sequence[Step], address: str, dry_run: bool) -> str:
    moved = [step for step in steps if step.files]
    files, size = sum(len(step.files) for step in moved), human_bytes(sum(step.size for step in moved))
    there = len(steps) - len(moved)
    how = "a dry run, to copy" if dry_run else "copied"
    return (
        f"sync: {how} {how_many(len(moved), 'artifacts')} ({how_many(files, 'files')}, {size}) to {address}; "
        f"there already: {there:,}"
    )
