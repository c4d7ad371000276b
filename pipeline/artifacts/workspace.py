"""All artifacts below one root: find what is there, require what is needed, build what is missing."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.artifacts.artifact import MANIFEST, Artifact, Manifest, Spec
from pipeline.artifacts.claim import DRAFT, STALE, claim
from pipeline.artifacts.draft import Draft
from pipeline.errors import ArtifactNotFound, DamagedArtifact, DigestMismatch, InvalidInput
from pipeline.machine.provenance import Stopwatch
from pipeline.storage.choice import storage_named
from pipeline.storage.contract import Storage

log = logging.getLogger(__name__)

EPISODES = "episodes"


class Workspace:
    """The folder `<root>/artifacts/<domain>/<task>/<kind>/<version>`.

    The storage is no part of an artifact's identity; folders of `bin` end in `-bin` and may
    stand beside those of `zarr`.
    """

    def __init__(self, root: str, storage: str = "zarr") -> None:
        self.root = Path(root).expanduser().absolute() / "artifacts"
        self.storage = storage_named(storage)

    def folder(self, spec: Spec, storage: Storage | None = None) -> Path:
        """Where the artifact lies or will lie."""
        name = spec.version + (storage or self.storage).suffix
        return self.root / spec.domain / spec.task / spec.kind / name

    def find(self, spec: Spec) -> Artifact | None:
        """The finished artifact in the asked storage, or None."""
        folder = self.folder(spec)
        return Artifact(folder, Manifest.read(folder)) if (folder / MANIFEST).is_file() else None

    def build(
        self, spec: Spec, make: Callable[[Draft], None], force: bool = False, stopwatch: Stopwatch | None = None
    ) -> Artifact:
        """Find the artifact, or make it: `make` fills the draft, which then appears in one step.

        With `force` it is made again and its digest compared; raises DigestMismatch when the content differs.
        `stopwatch` was started where work for the artifact began before this call.
        """
        if not force and (found := self.find(spec)):
            return found
        stopwatch = stopwatch or Stopwatch()
        with claim(self.folder(spec), spec.fingerprint) as folder:
            standing = self.find(spec)
            if standing and not force:  # the other process has made it while we waited
                folder.discard()
                return standing
            draft = Draft(folder, self.storage)
            make(draft)
            manifest = draft.finish(spec, stopwatch)
            if standing:
                folder.discard()
                return same_content(standing, manifest.digest)
            folder.commit()
        return Artifact(folder.final, manifest, built=True)

    def require(self, spec: Spec, stage: str, overrides: tuple[str, ...] = ()) -> Artifact:
        """The finished artifact in any storage. Raises ArtifactNotFound with the command that makes it."""
        for storage in (self.storage, storage_named("zarr"), storage_named("bin")):
            folder = self.folder(spec, storage)
            if (folder / MANIFEST).is_file():
                return Artifact(folder, Manifest.read(folder))
        near = [artifact.path.name for artifact in self.of_kind(spec.domain, spec.task, spec.kind)]
        others = f"Others are there, made with other settings or inputs: {', '.join(near)}." if near else ""
        raise self.missing(
            f"There is no {spec.kind} of {spec.label} for these settings. {others}", spec, stage, overrides
        )

    def dataset(
        self, domain: str, task: str, name: str, episodes: int | None = None, stage: str = "collect"
    ) -> Artifact:
        """A dataset by name, in any storage, limited to its first `episodes`. Raises ArtifactNotFound."""
        spec = Spec(domain, task, EPISODES, 0, {}, name=check_dataset_name(name))
        fits = []
        for storage in (self.storage, storage_named("zarr"), storage_named("bin")):
            folder = self.folder(spec, storage)
            if (folder / MANIFEST).is_file():
                manifest = Manifest.read(folder)
                if episodes is None or manifest.counts["episodes"] >= episodes:
                    return Artifact(folder, manifest, episodes=episodes)
                fits.append(f"{folder.name} has {manifest.counts['episodes']}")
        overrides = (f"dataset={name}", *([f"episodes={episodes}"] if episodes else []))
        if fits:
            message = f"Dataset {name} of {domain}/{task} has too few episodes: {episodes} asked, {', '.join(fits)}."
            raise self.missing(message, spec, stage, overrides)
        there = ", ".join(sorted({a.manifest.version for a in self.of_kind(domain, task, EPISODES)})) or "none"
        message = f"There is no dataset {name} of {domain}/{task} under {self.root}. Datasets of this task: {there}."
        raise self.missing(message, spec, stage, overrides)

    def missing(self, message: str, spec: Spec, stage: str, overrides: tuple[str, ...]) -> ArtifactNotFound:
        """The error that names the one command to run first."""
        return ArtifactNotFound(message.strip(), f"domain={spec.domain}", stage, overrides, spec.task)

    def of_kind(self, domain: str, task: str, kind: str) -> list[Artifact]:
        """All finished artifacts of one kind and task, by version."""
        return list(artifacts_below(self.root / domain / task / kind))

    def all(self, domain: str | None, damage: list[str]) -> Iterator[Artifact]:
        """Every finished artifact, or those of one domain; unreadable manifests are appended to `damage`."""
        for folder in _folders(self.root):
            if domain in (None, folder.name):
                for task in _folders(folder):
                    for kind in _folders(task):
                        yield from artifacts_below(kind, damage)


def artifacts_below(folder: Path, damage: list[str] | None = None) -> Iterator[Artifact]:
    """The finished artifacts that lie directly in a kind's folder.

    Raises DamagedArtifact for an unreadable manifest, or appends its message to `damage` where that is given.
    """
    for path in _folders(folder):
        if (path / MANIFEST).is_file() and not path.name.startswith((DRAFT, STALE)):
            try:
                yield Artifact(path, Manifest.read(path))
            except DamagedArtifact as error:
                if damage is None:
                    raise
                damage.append(str(error))


def same_content(standing: Artifact, digest: str) -> Artifact:
    """The standing artifact, when a rebuild gave the same digest. Raises DigestMismatch."""
    if digest != standing.manifest.digest:
        raise DigestMismatch(
            f"Rebuilding {standing.path} gave other content: digest {digest[:16]}, the manifest says "
            f"{standing.manifest.digest[:16]}. The old artifact was left as it is. Look for another simulator or "
            f"library version (the manifest lists them), or check the files with stage=verify."
        )
    log.info("rebuilt %s: same digest %s", standing.path, digest[:16])
    return dataclasses.replace(standing, built=True)


def check_dataset_name(name: str) -> str:
    """A dataset's name is the name of its folder. Raises InvalidInput."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) or name.endswith("-bin"):
        raise InvalidInput(f"{name!r} cannot name a dataset: use letters, digits, - _ and ., not ending in -bin.")
    return name


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
