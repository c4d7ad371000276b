"""Collect garbage: drafts of dead runs, parts that no manifest lists, children whose parents are gone."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from beartype import beartype

from pipeline.artifacts.artifact import ALL_TASKS, EPISODES, MANIFEST, PARTS, Artifact
from pipeline.artifacts.beside import forget, left_alone
from pipeline.artifacts.claim import DRAFT, LEASES, STALE, lease_of
from pipeline.artifacts.pieces import PIECES, leases_of
from pipeline.artifacts.store import artifact_in_place
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import chosen_tasks
from pipeline.command import Command
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import DamagedArtifact, InUse
from pipeline.machine.files import human_bytes, size_of
from pipeline.machine.full_disk import full_disk, has_no_room
from pipeline.machine.lease import held, is_abandoned

PUBLISH = "publish"

log = logging.getLogger(__name__)

FACTS = StageFacts(per_task=False)


@beartype
def run(*, domain: Domain | None, only: str | list[str] | None, workspace: Workspace, delete: bool) -> None:
    """List what can go, with its size; remove it with `stage.gc.delete=true`. Never touches what a run still holds."""
    tasks = chosen_tasks(domain, only)
    total, found = 0, False
    for path, why in _garbage(workspace, domain.name if domain else None, tasks):
        size = size_of(path)
        total, found = total + size, True
        log.info("%s %s (%s, %s)", "removed" if delete else "would remove", path, why, human_bytes(size))
        if delete:
            _remove(path)
            forget(path)
    if found and not delete:
        elsewhere = {"hydra.run.dir": "FOLDER"} if has_no_room(workspace.root) else {}
        command = Command("gc", settings={"stage.gc.delete": True, **elsewhere})
        log.info("%s in all; remove it with: %s", human_bytes(total), command.line())
    elif not found:
        log.info("nothing to remove under %s", workspace.root)


def _garbage(workspace: Workspace, domain: str | None, tasks: list[str] | None) -> Iterator[tuple[Path, str]]:
    for folder in sorted(workspace.root.glob("*/*/*")):
        if domain not in (None, folder.parts[-3]) or not (tasks is None or folder.parts[-2] in tasks):
            continue
        yield from _drafts(folder)
    unreadable: list[DamagedArtifact] = []
    artifacts = [a for a in workspace.all(domain, unreadable) if tasks is None or a.task in tasks]
    for line in unreadable:
        log.warning("left alone: %s", line)
    for artifact in artifacts:
        if artifact.manifest.kind == EPISODES and not artifact.is_derived:
            yield from _parts(artifact)
    gone: set[tuple[str, str, str]] = set()
    while orphans := [a for a in artifacts if _key(a) not in gone and _orphan(a, workspace, gone)]:
        for artifact in orphans:
            gone.add(_key(artifact))
            yield artifact.path, "its parents are gone or have other content"


def _drafts(folder: Path) -> Iterator[tuple[Path, str]]:
    abandoned = [path for path in sorted(folder.glob(LEASES)) if is_abandoned(path)]
    for path in abandoned:
        yield path, "a lock that names no process"
    for path in left_alone(folder):
        yield path, "what was remembered of an artifact that is gone"
    for path in sorted(folder.iterdir()):
        if path.name.startswith(STALE):
            yield path, "an unfinished run with other settings"
        elif path.name.startswith(DRAFT):
            final = path.name.removeprefix(DRAFT).rpartition("-")[0]
            with suppress(InUse), _holding(lease_of(folder / final), path):
                yield path, "an unfinished run; the same command would resume it"
        elif path.name.startswith(PIECES) and path.is_dir():
            with suppress(InUse), ExitStack() as all_leases:
                for lease in (lease_of(folder / path.name.removeprefix(PIECES)), *leases_of(path)):
                    all_leases.enter_context(_holding(lease, path))
                yield path, "pieces of an artifact; the command that made them would join them without shards"


def _remove(path: Path) -> None:
    """Remove a file or folder; what could be gone on with gets another name first, so that nobody does meanwhile."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if path.name.startswith((DRAFT, PIECES)):
        path = path.rename(path.with_name(f"{STALE}{path.name.lstrip('.')}-{uuid.uuid4().hex[:8]}"))
    shutil.rmtree(path)


@contextmanager
def _holding(lease: Path, what: Path) -> Iterator[None]:
    """Hold a lease while something is removed. Raises InUse where another process does.

    Where the disk has no room for the lease file and none is there, nobody holds it, and one goes on without.
    """
    with ExitStack() as held_here:
        if not is_abandoned(lease):
            try:
                held_here.enter_context(held(lease, f"removing {what}", wait_s=0))
            except OSError as error:
                if full_disk(error, lease.parent) is None or lease.exists():
                    raise
        yield


def _parts(artifact: Artifact) -> Iterator[tuple[Path, str]]:
    """Parts that a dataset does not list; not those of one that has grown since it was read, or grows now."""
    if not _unlisted(artifact):
        return
    with suppress(InUse, DamagedArtifact), _holding(lease_of(artifact.path), artifact.path / PARTS):
        for path in _unlisted(artifact_in_place(artifact.path)):
            yield path, "a part that grew into a larger one"


def _unlisted(dataset: Artifact) -> list[Path]:
    listed = {part.name for part in dataset.manifest.parts}
    return [path for path in sorted((dataset.path / PARTS).iterdir()) if path.name not in listed]


def _key(artifact: Artifact) -> tuple[str, str, str]:
    return artifact.manifest.task, artifact.manifest.kind, artifact.path.name


def _orphan(artifact: Artifact, workspace: Workspace, gone: set[tuple[str, str, str]]) -> bool:
    if artifact.manifest.kind == PUBLISH:
        return False  # a record of what lies in a repository, whatever became of it here
    for parent in artifact.manifest.parents:
        same = [
            other
            for task in (_tasks(workspace, artifact.domain) if artifact.task == ALL_TASKS else [artifact.task])
            for other in workspace.of_kind(artifact.domain, task, parent["kind"])
            if other.manifest.version == parent["version"] and _key(other) not in gone
        ]
        if not any(_content(other, parent["episodes"]) == parent["digest"] for other in same):
            return True
    return False


def _tasks(workspace: Workspace, domain: str) -> list[str]:
    """Every task of a domain that has a folder: what spans tasks has its parents there."""
    return sorted(path.name for path in (workspace.root / domain).iterdir() if path.is_dir())


def _content(artifact: Artifact, episodes: int | None) -> str:
    """The digest of the artifact, or of the dataset's first episodes; empty where these cannot be had any more."""
    if episodes is None or not (artifact.path / MANIFEST).exists():
        return artifact.manifest.digest
    try:
        dataset = EpisodeDataset.of(artifact)
    except DamagedArtifact:  # it refers to episodes that are gone
        if not artifact.is_derived:
            raise
        return ""
    return dataset.digest(episodes) if episodes <= len(dataset) else ""
