"""Artifacts: what was asked for (Spec), what was made (Manifest), and where it lies (Artifact)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pipeline.artifacts.record import CHECKSUM, LAYOUT, VERSION, read_record, with_checksum
from pipeline.artifacts.runs import made_by
from pipeline.artifacts.whole import Files, damage_in, table_digest
from pipeline.command import DERIVING, Command, making, override
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.fingerprint import fingerprint
from pipeline.machine.files import write_json
from pipeline.machine.secrets import values_without_secrets
from pipeline.storage.choice import open_arrays, storage_named, without_suffix
from pipeline.storage.contract import ReadableArray
from pipeline.wording import few

MANIFEST = "manifest.json"
ARRAYS = "arrays"

EPISODES = "episodes"
"""The kind of a dataset."""

PARTS = "parts"
"""The folder of a dataset that holds its parts."""

ALL_TASKS = "_all"
"""Where an artifact lies that spans tasks, in a task's place."""

UNKNOWN_SETTINGS = (
    "No run below this root says with which settings it was made: the command takes those that were typed now, and "
    "else the defaults, of policy and seed, too. If they were others, add them. "
    "What a program of yours has recorded, no command makes again."
)
"""Of an artifact whose manifest is silent, and the records of whose runs are gone."""

WHOLE_SOURCE = "whole_source"
"""Count of a manifest that says: the source held this many episodes when it was read to its end."""


@dataclass(frozen=True)
class Parent:
    """An input: which artifact, how many of its episodes, and the digest of their content.

    Attributes:
        read: digest of the files that were read; empty where that was not kept. No part of an identity: the same
            content may lie in other files.
        source: the artifact itself, where it is read now.
    """

    kind: str
    version: str
    digest: str
    episodes: int | None = None
    read: str = field(default="", compare=False)
    source: Artifact | None = field(default=None, compare=False, repr=False)

    def identity(self) -> dict[str, Any]:
        """What of it belongs to the identity of what is made from it."""
        return {"kind": self.kind, "version": self.version, "digest": self.digest, "episodes": self.episodes}

    def as_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        read = self.source.files_digest(self.episodes) if self.source else self.read
        return self.identity() | ({"read": read} if read else {})

    def require_whole(self) -> None:
        """Raises DamagedArtifact where a file that is read from it is not what its manifest lists.

        Trusts no other process: what this one has not read since it was changed, it reads.
        """
        if self.source:
            self.source.require_whole(self.source.groups(self.episodes), fresh=True)


@dataclass(frozen=True)
class Spec:
    """The identity of an artifact. `name` is the version of a dataset; anything else is versioned by fingerprint.

    `parameters` holds what changes bytes and nothing else: no worker count, batch size, path or log level.
    """

    domain: str
    task: str
    kind: str
    format: int
    parameters: Mapping[str, Any]
    parents: tuple[Parent, ...] = ()
    name: str | None = None

    @property
    def label(self) -> str:
        """`metaworld/assembly`, as in logs and manifests."""
        return f"{self.domain}/{self.task}"

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal characters."""
        return fingerprint(
            {
                "kind": self.kind,
                "task": self.label,
                "format": self.format,
                "parameters": dict(self.parameters),
                "parents": [parent.identity() for parent in self.parents],
            }
        )

    @property
    def version(self) -> str:
        """The dataset's name, or the fingerprint."""
        return self.name or self.fingerprint


@dataclass(frozen=True)
class Part:
    """A piece of a dataset, as its manifest lists it.

    Attributes:
        name: of its folder, `000100-000300`: the number of its first episode, and of the one after its last.
        bytes: raw ones, of the step arrays.
        facts: what a source says and counts of a part that it wrote itself, and to which nothing may be added; None for
            a part that episodes were packed into.
        stuck: episodes in which nothing happens on the screen; None for none, and where nobody looked.
    """

    name: str
    episodes: int
    states: int
    bytes: int
    facts: Mapping[str, int | str] | None = None
    stuck: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass
class Manifest:
    """The record of an artifact, written last; without it there is no artifact. The keys are frozen.

    `arrays`: name, shape, dtype, unit. `files`: size and BLAKE3 by relative path. `return`: mean, std, min, max of the
    episodes' returns, or nothing. `seconds` is the time of all runs that built it, `peak_memory_bytes` the highest.
    `quirks`: what was odd in foreign data (`pipeline.sources.quirks.Quirk`). `facts`: what a later check must know and
    cannot read out of the arrays. Older manifests lack these two keys. `checksum` is that of all other keys; it is
    empty where the manifest was made before there was one.
    """

    kind: str
    task: str
    version: str
    fingerprint: str
    digest: str
    format: int
    parents: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    arrays: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int | float] = field(default_factory=dict)
    return_: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    host: str = ""
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    command: str = ""
    quirks: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    checksum: str = ""

    def write(self, folder: Path) -> None:
        """Replace the folder's manifest atomically; its checksum is renewed."""
        self.versions = self.versions | {LAYOUT: VERSION}
        self.warnings, self.quirks = (values_without_secrets(texts) for texts in (self.warnings, self.quirks))
        values = {key.name.rstrip("_"): getattr(self, key.name) for key in fields(self)}  # asdict copies long tables
        values = with_checksum(values | {"parts": [part.as_json() for part in self.parts]})
        write_json(folder / MANIFEST, values)
        self.checksum = values[CHECKSUM]

    @staticmethod
    def read(folder: Path) -> Manifest:
        """The folder's manifest. Raises DamagedArtifact when it is none, or was changed after it was written."""
        try:
            values = read_record(folder / MANIFEST)
        except DamagedArtifact as error:
            raise unread(folder, str(error)) from error
        values["return_"] = values.pop("return")
        values["parts"] = [Part(**part) for part in values["parts"]]
        return Manifest(**values)


@dataclass(frozen=True)
class Artifact:
    """A finished folder."""

    path: Path
    manifest: Manifest
    built: bool = False
    """True when this call made it, False when it was found."""
    episodes: int | None = None
    """How many leading episodes of a dataset were asked for."""
    laid: str = ""
    """Where this call laid an export besides."""
    reason: str = ""
    """Why this call made it, where its manifest and its neighbours' do not say so (`pipeline.campaign.reasons`)."""

    def __repr__(self) -> str:
        return f"Artifact({self.manifest.kind} of {self.manifest.task}, version {self.manifest.version}, {self.path})"

    @property
    def arrays(self) -> Path:
        """The folder of a derived artifact's arrays."""
        return self.path / ARRAYS

    def open(self) -> Mapping[str, ReadableArray]:
        """A derived artifact's arrays by name; a slice reads just its rows.

        Raises InvalidInput for an artifact of a kind that has none, DamagedArtifact as `require_whole`.
        """
        self.require_whole()
        if not self.arrays.exists() and not any(name.startswith(f"{ARRAYS}/") for name in self.manifest.files):
            raise InvalidInput(self._without_arrays())
        return open_arrays(self.arrays)

    def _without_arrays(self) -> str:
        if self.manifest.kind == EPISODES:
            name = f"{self.manifest.task}/{self.manifest.version}"
            return f"{self.path} is a dataset. Read it as one: EpisodeDataset.of(artifact), or workspace[{name!r}]"
        files = few(sorted(self.manifest.files))
        return f"{self.path} is of the kind {self.manifest.kind}, which has no arrays to open. Its files: {files}"

    def groups(self, episodes: int | None = None) -> Mapping[str, Files]:
        """Its files in groups that are checked together: the parts of a dataset that hold its first `episodes`.

        None means all; another artifact is one group, and so is a derived dataset.
        """
        if self.manifest.kind != EPISODES or self.is_derived:
            return {"": self.manifest.files}
        groups: dict[str, dict[str, Any]] = {}
        before = 0
        for part in self.manifest.parts:
            if episodes is None or before < episodes:
                groups[f"{PARTS}/{part.name}"] = {}
            before += part.episodes
        for name, record in self.manifest.files.items():
            group = "/".join(name.split("/")[:2])
            if group in groups:
                groups[group][name] = record
        return groups

    def files_digest(self, episodes: int | None = None) -> str:
        """One digest of all files that hold its first `episodes` episodes, or all of it, as its manifest lists them."""
        return table_digest(self.groups(episodes).values())

    def require_whole(self, groups: Mapping[str, Files] | None = None, fresh: bool = False) -> None:
        """Raises DamagedArtifact where files (all, or those of some groups) are not what the manifest lists.

        Sizes and times of change are looked at; bytes are read where these are not known, or with `fresh` where this
        process has not read them since (`pipeline/artifacts/whole.py`).
        """
        if found := damage_in(self.path, self.groups() if groups is None else groups, fresh):
            from pipeline.artifacts.remake import remake  # here, because it imports this module

            raise DamagedArtifact(f"{self.path} is damaged: {few(found)}.", remake(self))
        if self.is_derived:
            from pipeline.artifacts.derived import referred_to  # likewise

            for each in referred_to(self):
                each.require_whole(each.groups(each.episodes), fresh)

    @property
    def is_derived(self) -> bool:
        """Whether it is a dataset that refers to the episodes of others (`pipeline.artifacts.derived`)."""
        return self.manifest.kind == EPISODES and bool(self.manifest.parents)

    @property
    def domain(self) -> str:
        return self.manifest.task.split("/")[0]

    @property
    def task(self) -> str:
        return self.manifest.task.split("/")[1]

    @property
    def parents(self) -> list[Parent]:
        """What it was made from."""
        return [Parent(**entry) for entry in self.manifest.parents]

    def parent(self, kind: str) -> Parent:
        """The recorded parent of one kind."""
        for parent in self.parents:
            if parent.kind == kind:
                return parent
        raise DamagedArtifact(f"{self.path} names no {kind} among its parents.")

    def as_parent(self, digest: str | None = None, episodes: int | None = None) -> Parent:
        """How a child's spec names this artifact, of which it reads all or the first `episodes`."""
        manifest = self.manifest
        return Parent(manifest.kind, manifest.version, digest or manifest.digest, episodes, source=self)


def artifact_at(place: Artifact | str | Path, kind: str) -> Artifact:
    """An artifact of one kind: itself, or the one in a folder. Raises InvalidInput with what is there instead."""
    if not isinstance(place, Artifact):
        folder = Path(place).expanduser()
        if not (folder / MANIFEST).is_file():
            names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
            there = f"there are {few(names)}" if names else "it is empty" if folder.is_dir() else "it is not there"
            raise InvalidInput(f"{folder} is no folder of {kind}, which has a {MANIFEST}: {there}.\n{_finds(kind)}")
        place = Artifact(folder, Manifest.read(folder))
    if place.manifest.kind != kind:
        there = f"{place.path} is of the kind {place.manifest.kind}; wanted are {kind}."
        raise InvalidInput(f"{there}\n{_finds(kind, place.manifest.task)}")
    return place


def _finds(kind: str, task: str = "domain/task") -> str:
    return f"Those of a task: Workspace('outputs').find({kind!r}, {task!r})"


def without_manifest(folder: Path) -> DamagedArtifact:
    """What to say of a folder that lies where an artifact lies and has no manifest."""
    return unread(folder, f"{folder} has no {MANIFEST}, so it is no artifact.")


def unread(folder: Path, message: str) -> DamagedArtifact:
    """The error for a folder whose manifest does not say what it was made with; it removes it and makes it again.

    Its path says what it was, the record of the run that made it with which settings. Where no such record is left,
    those that were typed are taken, and the message says so.
    """
    if folder.parts[-5:-4] != ("artifacts",):
        return DamagedArtifact(message)
    domain, task, kind, name = folder.parts[-4:]
    settings: dict[str, Any] = {"storage": "bin" if name.endswith(storage_named("bin").suffix) else None}
    settings |= dict.fromkeys(("format.out", "format.link"))  # what lies elsewhere is another's
    of_domain, task, dataset = override("domain", domain), "" if task == ALL_TASKS else task, without_suffix(name)
    if job := made_by(folder):
        if kind == EPISODES and job.stage not in DERIVING:
            settings["dataset"] = dataset
        settings[f"stage.{job.stage}.shards"] = None  # all of it, not the pieces of one job
        again = Command(job.stage, task, of_domain, settings, job.command)
    else:
        message = f"{message} {UNKNOWN_SETTINGS}"
        again = Command(kind, task, of_domain, settings)
        if kind == EPISODES:
            again = making(dataset, task, of_domain, settings)
    return DamagedArtifact(message, f"rm -r {shlex.quote(str(folder))} && {again.line()}")
