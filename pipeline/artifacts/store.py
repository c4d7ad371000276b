"""All artifacts below one root: find what is there, require what is needed, build what is missing."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import (
    ALL_TASKS,
    EPISODES,
    MANIFEST,
    Artifact,
    Manifest,
    Parent,
    Spec,
    unread,
    without_manifest,
)
from pipeline.artifacts.checks import other_place
from pipeline.artifacts.claim import claim
from pipeline.artifacts.draft import Draft
from pipeline.artifacts.lineage import one_matching
from pipeline.artifacts.remake import verified
from pipeline.command import Command, typed
from pipeline.errors import ArtifactNotFound, DamagedArtifact, DigestMismatch, InvalidInput, UnknownName, unknown_name
from pipeline.machine.folder_names import require_utf8_root
from pipeline.machine.provenance import Stopwatch
from pipeline.machine.secrets import refuse_password
from pipeline.storage.choice import storage_named, storages
from pipeline.storage.contract import Storage

log = logging.getLogger(__name__)

FORCED = "again: force=true, and the digest is the same"
"""Why something is made that is there already."""


class ArtifactStore:
    """The folder `<root>/artifacts/<domain>/<task>/<kind>/<version>`.

    The storage is no part of an artifact's identity; folders of `bin` end in `-bin` and may
    stand beside those of `zarr`. `pipeline.dataset.workspace.Workspace` adds the datasets to it.

    Attributes:
        root: the folder `artifacts`.
        storage: how new artifacts are written, and which of two equal ones is read.
    """

    def __init__(self, root: str, storage: str = "zarr") -> None:
        refuse_password(str(root), "paths.root")
        require_utf8_root(str(root))
        self.root = Path(root).expanduser().absolute() / "artifacts"
        self.storage = storage_named(storage)

    def folder(self, spec: Spec, storage: Storage | None = None) -> Path:
        """Where the artifact lies or will lie."""
        name = spec.version + (storage or self.storage).suffix
        return self.root / spec.domain / spec.task / spec.kind / name

    def get(self, spec: Spec) -> Artifact | None:
        """The finished artifact in the asked storage, or None."""
        folder = self.folder(spec)
        return artifact_in_place(folder) if (folder / MANIFEST).is_file() else None

    def build(
        self, spec: Spec, make: Callable[[Draft], None], force: bool = False, stopwatch: Stopwatch | None = None
    ) -> Artifact:
        """Find the artifact, or make it: `make` fills the draft, which then appears in one step.

        With `force` it is made again and its digest compared; raises DigestMismatch when the content differs.
        `stopwatch` was started where work for the artifact began before this call. Raises DamagedArtifact where what
        is there, or what it is made from, is not what its manifest lists.
        """
        if not force and (found := self.get(spec)):
            found.require_whole()
            return found
        stopwatch = stopwatch or Stopwatch()
        with claim(self.folder(spec), spec.fingerprint) as folder:
            existing = self.get(spec)
            if existing and not force:  # the other process has made it while we waited
                folder.discard()
                existing.require_whole()
                return existing
            for parent in spec.parents:
                parent.require_whole()
            draft = Draft(folder, self.storage)
            make(draft)
            manifest = draft.finish(spec, stopwatch)
            if existing:
                folder.discard()
                existing.require_whole()
                return same_content(existing, manifest.digest)
            folder.commit()
        return Artifact(folder.final, manifest, built=True)

    def require(self, spec: Spec, stage: str) -> Artifact:
        """The finished artifact in any storage, whole. Raises ArtifactNotFound with the command that makes it."""
        for storage in (self.storage, *storages()):
            folder = self.folder(spec, storage)
            if (folder / MANIFEST).is_file():
                artifact = artifact_in_place(folder)
                artifact.require_whole()
                return artifact
        near = [artifact.path.name for artifact in self.of_kind(spec.domain, spec.task, spec.kind)]
        others = f" Others are there, made with other settings or inputs: {', '.join(near)}." if near else ""
        of = next((parent.version for parent in spec.parents if parent.kind == EPISODES), None)
        raise ArtifactNotFound(
            f"There is no {spec.kind} of {spec.label.removesuffix(f'/{ALL_TASKS}')} for these settings.{others}",
            Command(
                stage,
                "" if spec.task == ALL_TASKS else spec.task,
                f"domain={spec.domain}",
                {"dataset": of} if of else {},
            ),
        )

    def find(self, kind: str, task: str, **asked: Any) -> Artifact:
        """The one finished artifact of `kind` and `task` (`domain/task`) that was made as `asked`.

        `asked` are values of its parameters or of those of what it was made from (`metric="cosine"`, `demos=5`), the
        name and number of the episodes it is of (`dataset="scripted-v1"`, `episodes=100`), or its `version`.

        Raises:
            UnknownName: there is none; the message lists what is there.
            InvalidInput: `task` is not `domain/task`, or there are several; the message says in what they differ.
            DamagedArtifact: its files are not what its manifest lists.
        """
        domain, _, name = task.partition("/")
        if not name or "/" in name:
            raise InvalidInput(f"{task!r} is no task of a workspace: write domain/task, such as toy/corner.")
        found: dict[str, Artifact] = {}
        for artifact in self.of_kind(domain, name, kind):  # the same artifact may be there in both storages
            mine = artifact.path.name == artifact.manifest.version + self.storage.suffix
            if mine or artifact.manifest.version not in found:
                found[artifact.manifest.version] = artifact
        if not found:
            raise self._nothing_of(kind, domain, name)
        artifact = one_matching(list(found.values()), asked, self._parents)
        artifact.require_whole()
        return artifact

    def _nothing_of(self, kind: str, domain: str, task: str) -> UnknownName:
        """The error where a task has no artifact of a kind: the kinds that it has, or the tasks that have any."""
        hint = f"What is there: {self._catalog().line()}"
        kinds = [folder.name for folder in _folders(self.root / domain / task)]
        if not kinds:
            tasks = [f"{each.parent.name}/{each.name}" for top in _folders(self.root) for each in _folders(top)]
            return unknown_name("task", f"{domain}/{task}", tasks, f"Looked under {self.root}.\n{hint}")
        there = ", ".join(kinds)
        return UnknownName(f"There are no {kind} of {domain}/{task} under {self.root}; there are: {there}.\n{hint}")

    def _catalog(self) -> Command:
        """The command that lists everything. It names the root only where no command line does so."""
        return Command("catalog", settings={} if typed().words else {"paths.root": str(self.root.parent)})

    def _parents(self, artifact: Artifact) -> Iterator[Artifact]:
        """The parents that are still there."""
        for parent in artifact.manifest.parents:
            there = self.of_kind(artifact.domain, artifact.task, parent["kind"])
            yield from [each for each in there if each.manifest.version == parent["version"]][:1]

    def holding(self, child: Artifact, parent: Parent, task: str = "") -> list[Artifact]:
        """What of a child's parent is there and whole, in any storage, limited to the episodes that the child is of.

        `task` is the parent's, where the child spans tasks.
        """
        folder = self.root / child.domain / (task or child.task) / parent.kind
        there = [each for each in artifacts_below(folder, []) if each.manifest.version == parent.version]
        found = []
        for each in there:
            with suppress(DamagedArtifact):
                each.require_whole(each.groups(parent.episodes))
                found.append(dataclasses.replace(each, episodes=parent.episodes))
        return found

    def of_kind(self, domain: str, task: str, kind: str) -> list[Artifact]:
        """All finished artifacts of one kind and task, by version."""
        return list(artifacts_below(self.root / domain / task / kind))

    def all(self, domain: str | None, damage: list[DamagedArtifact]) -> Iterator[Artifact]:
        """Every finished artifact, or those of one domain; what is wrong with other folders is appended to `damage`."""
        for folder in _folders(self.root):
            if domain in (None, folder.name):
                for task in _folders(folder):
                    for kind in _folders(task):
                        yield from artifacts_below(kind, damage)


def artifact_in_place(folder: Path) -> Artifact:
    """The finished artifact of a workspace's folder.

    Raises DamagedArtifact where its manifest cannot be read, or is that of another folder: whatever was copied or moved
    there is whole, and would be read as what belongs there.
    """
    artifact = Artifact(folder, Manifest.read(folder))
    if other := other_place(artifact):
        raise unread(folder, f"{folder} holds another artifact: its manifest is of {other}.")
    return artifact


def artifacts_below(folder: Path, damage: list[DamagedArtifact] | None = None) -> Iterator[Artifact]:
    """The finished artifacts that lie directly in a kind's folder.

    Raises DamagedArtifact for a manifest that is unreadable, or of another folder. With `damage` it is appended there,
    as is a folder without one.
    """
    for path in _folders(folder):
        if path.name.startswith("."):  # a draft
            continue
        try:
            if (path / MANIFEST).is_file():
                yield artifact_in_place(path)
            elif damage is not None:
                damage.append(without_manifest(path))
        except DamagedArtifact as error:
            if damage is None:
                raise
            damage.append(error)


def same_content(existing: Artifact, digest: str) -> Artifact:
    """The existing artifact, when a rebuild gave the same digest. Raises DigestMismatch."""
    if digest != existing.manifest.digest:
        raise DigestMismatch(
            f"Rebuilding {existing.path} gave other content: digest {digest[:16]}, the manifest says "
            f"{existing.manifest.digest[:16]}. The old artifact was left as it is. Look for another simulator or "
            f"library version (the manifest lists them).\nCheck the files: {verified(existing).line()}"
        )
    log.info("rebuilt %s: same digest %s", existing.path, digest[:16])
    return dataclasses.replace(existing, built=True, reason=FORCED)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
