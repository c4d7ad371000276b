"""Publish: parquet or an export of several tasks → one dataset repository on a hub, one commit a task."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from beartype import beartype
from rich.table import Table

from pipeline.artifacts.artifact import ALL_TASKS, Artifact, Spec
from pipeline.artifacts.draft import Draft
from pipeline.campaign.console import wide_console
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import Asked, tasks_for
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import HubError, Unreachable
from pipeline.formats.contract import Format
from pipeline.formats.exports import export_of, require_export
from pipeline.hub.columns import IMAGES
from pipeline.hub.connection import Hub, require_token
from pipeline.hub.description import Sources, describe
from pipeline.hub.exports import export_card, export_task
from pipeline.hub.names import CARD
from pipeline.hub.repository import DatasetRepository, Snapshot
from pipeline.hub.upload import Card, Change, Task, Upload, changed_card, compare, counted, send_task, task_files
from pipeline.machine.files import human_bytes, read_json, write_json
from pipeline.machine.progress import progress
from pipeline.regent.chain import Chain, bins_name
from pipeline.regent.recipe import Recipe

PUBLISH_FORMAT = 1
RECORD = "publish.json"
COLUMNS = ("task", "files", "size", "to send", "size to send", "there and equal", "to remove", "commits")

log = logging.getLogger(__name__)

FACTS = StageFacts(per_task=False)


@dataclass(frozen=True)
class _Edition:
    """What is published: tasks with their files, what they are made of, how the card is written, which tags are set."""

    tasks: Sequence[Task]
    parents: Sequence[Artifact]
    card: Card = changed_card
    settings: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()


@beartype
def run(
    *,
    recipe: Recipe,
    workspace: Workspace,
    hub: Hub,
    force: bool,
    format: Format | None = None,
    final_observation: str | None = None,
) -> Artifact | None:
    """The repository with the chosen tasks in it; the artifact holds `publish.json`: commit, files, checksums.

    With a `format` the tasks' exports in that form, as they lie, else their parquet. What the repository holds already
    is not sent. With `hub.dry_run` a table of what would be sent, and None. Raises ArtifactNotFound where the parquet
    or the export was not made yet.
    """
    repository, domain = DatasetRepository(hub), recipe.domain
    label = f"{hub.repo} at {hub.address}"
    names = tasks_for(Asked(["publish"], recipe.task, [recipe.dataset]), domain, workspace)
    if format is None:
        edition = _of_parquet([_sources(Chain.of(recipe.for_task(name), workspace)) for name in names])
    else:
        edition = _of_exports(recipe, names, workspace, format, final_observation, hub)
    if hub.dry_run:
        _dry_run(repository, domain.name, edition)
        log.info("publish %s: a dry run, nothing was uploaded to %s", domain.name, label)
        return None
    require_token(hub)
    return _publish(repository, _spec(domain, hub, edition), edition, workspace, force)


def _of_parquet(sources: Sequence[Sources]) -> _Edition:
    return _Edition([_task(source) for source in sources], [source.parquet for source in sources])


def _of_exports(
    recipe: Recipe,
    names: Sequence[str],
    workspace: Workspace,
    format: Format,
    final_observation: str | None,
    hub: Hub,
) -> _Edition:
    """The exports that were made before with these settings."""
    asked = (recipe.dataset, recipe.episodes)
    together = [names] if format.joins else [[name] for name in names]
    exports = [export_of(recipe.domain, each, workspace, asked, format, final_observation) for each in together]
    made = [require_export(export, workspace) for export in exports]
    tasks = [export_task(export, artifact, hub.repo) for export, artifact in zip(exports, made, strict=True)]
    return _Edition(tasks, made, export_card, {"format": format.name}, format.tags)


def _sources(chain: Chain) -> Sources:
    bins = chain.require("bins")
    return Sources(
        chain.require("parquet"), bins, chain.require("retrieval"), chain.episodes, bins.path / bins_name(bins)
    )


def _publish(
    repository: DatasetRepository, spec: Spec, edition: _Edition, workspace: Workspace, force: bool
) -> Artifact:
    snapshot = repository.look()
    earlier = workspace.get(spec)
    if earlier and not force:
        if (
            snapshot
            and CARD in snapshot.files
            and not any(_changes(_known(edition.tasks, earlier), snapshot, spec.domain))
        ):
            _tag(repository, edition, snapshot)
            return earlier
        log.info("publish %s: the repository no longer holds what %s says; once more", spec.domain, earlier.path)
        shutil.rmtree(earlier.path)
    if snapshot is None:
        repository.check_kind()
        repository.create()
    return workspace.build(spec, lambda draft: _send(repository, spec.domain, edition, draft), force)


def _tag(repository: DatasetRepository, edition: _Edition, snapshot: Snapshot) -> None:
    """Let the form's tags name what is there now."""
    for name in edition.tags:
        repository.tag(name, snapshot.commit)


def _send(repository: DatasetRepository, domain: str, edition: _Edition, draft: Draft) -> None:
    tasks = edition.tasks
    uploads = [upload for task in tasks for upload in task.uploads]
    with progress("publish", f"{domain}: checksums", "bytes", sum(upload.size for upload in uploads)) as advance:
        for upload in uploads:
            draft.content(upload.path, bytes.fromhex(upload.sha256))
            advance(upload.size)
    changes = _changes(tasks, repository.require(), domain)
    commits = {}
    with progress("publish", domain, "bytes", sum(change.send_bytes for change in changes)) as advance:
        count = counted(advance)
        for task in tasks:
            commits[task.name] = send_task(repository, task, count, edition.card)
    _record(repository, domain, tasks, commits, draft)
    _tag(repository, edition, repository.require())
    size = sum(upload.size for upload in uploads)
    states = sum(task.states for task in tasks)
    draft.counts |= {"tasks": len(tasks), "states": states, "files": len(uploads), "bytes": size}


def _record(
    repository: DatasetRepository, domain: str, tasks: Sequence[Task], commits: dict[str, str], draft: Draft
) -> None:
    """Look at the repository once more, and write down what is in it."""
    hub, snapshot = repository.hub, repository.require()
    if lost := [upload.path for change in _changes(tasks, snapshot, domain) for upload in change.send]:
        raise HubError(
            f"{hub.repo} does not hold {', '.join(lost[:5])}, which were sent: someone else writes to it. Run the same "
            f"command again."
        )
    files = {upload.path: {"size": upload.size, "sha256": upload.sha256} for task in tasks for upload in task.uploads}
    facts = {"repo_id": hub.repo, "hub": hub.address, "revision": hub.branch, "commit": snapshot.commit}
    write_json(draft.path / RECORD, facts | {"commits": commits, "files": files})


def _spec(domain: Domain, hub: Hub, edition: _Edition) -> Spec:
    parameters = {"repo_id": hub.repo, "hub": hub.address, "revision": hub.branch, **edition.settings}
    parents = tuple(each.as_parent() for each in edition.parents)
    return Spec(domain.name, ALL_TASKS, "publish", PUBLISH_FORMAT, parameters, parents)


def _task(sources: Sources) -> Task:
    """The shards, and of the bins what no column holds: shapes, statistics, lookup, arrays of held-out tasks."""
    columns = {f"{array['name'].split('/', 1)[1]}.bin" for array in sources.parquet.manifest.arrays}
    left = columns | {f"{IMAGES}.bin"}
    extras = [path for path in sorted(sources.folder.iterdir()) if path.name not in left]
    return task_files(sources.name, sources.parquet.path / "data", extras, describe(sources))


def _changes(tasks: Sequence[Task], snapshot: Snapshot | None, domain: str) -> list[Change]:
    """What each task lacks in the repository; reads the files that it may hold already."""
    changes = []
    with progress("publish", f"{domain}: comparing", "tasks", len(tasks)) as advance:
        for task in tasks:
            changes.append(compare(task, snapshot))
            advance(1)
    return changes


def _known(tasks: Sequence[Task], earlier: Artifact) -> list[Task]:
    """The tasks with the checksums that were written down when they were published, so that no shard is read again."""
    earlier.require_whole()
    files = read_json(earlier.path / RECORD)["files"]

    def known(upload: Upload) -> Upload:
        record = files.get(upload.path)
        same = record and isinstance(upload.source, Path) and record["size"] == upload.size
        return replace(upload, known=record["sha256"]) if same else upload

    return [replace(task, uploads=[known(upload) for upload in task.uploads]) for task in tasks]


def _dry_run(repository: DatasetRepository, domain: str, edition: _Edition) -> None:
    """Show what would be sent. Raises Unreachable where nobody can say what is there; then the table shows all."""
    try:
        snapshot = repository.look()
    except Unreachable:
        _show(repository, domain, edition, None)
        log.warning("The hub was not reached: the table is that of an empty repository.")
        raise
    _show(repository, domain, edition, snapshot)
    if snapshot is None:
        log.info("The repository is not there yet, or is private and not to be seen without a token.")


def _show(repository: DatasetRepository, domain: str, edition: _Edition, snapshot: Snapshot | None) -> None:
    """The dry run's table: a line for each task, one for the card, and the sum."""
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == COLUMNS[0] else "right", no_wrap=True)
    changes = _changes(edition.tasks, snapshot, domain)
    lines = [_line(change) for change in changes]
    card = edition.card(repository, edition.tasks, changes, snapshot)
    size = len(card) if card is not None else snapshot.files[CARD].size if snapshot else 0
    commits = sum(line[-1] for line in lines)
    # the card goes with each task's commit; it has one of its own only when nothing else changes
    lines.append([1, size, int(card is not None), size if card else 0, int(card is None), 0, int(bool(card) > commits)])
    for name, line in zip([*(change.name for change in changes), CARD], lines, strict=True):
        table.add_row(name, *_texts(line))
    table.add_row("in all", *_texts([sum(column) for column in zip(*lines, strict=True)]))
    wide_console().print(table)


def _line(change: Change) -> list[int]:
    every = [*change.send, *change.equal]
    sent = [len(change.send), change.send_bytes, len(change.equal), len(change.remove)]
    return [len(every), sum(upload.size for upload in every), *sent, int(bool(change))]


def _texts(line: Sequence[int]) -> list[str]:
    return [human_bytes(n) if "size" in column else str(n) for column, n in zip(COLUMNS[1:], line, strict=True)]
