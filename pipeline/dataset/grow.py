"""Growing a dataset: which episodes are there, which are missing, and the one step that makes new ones visible."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.artifacts.artifact import Artifact, Manifest, Spec
from pipeline.artifacts.claim import IDENTITY, DraftFolder, claim
from pipeline.artifacts.store import ArtifactStore, same_content
from pipeline.dataset.parts import ENDS, FileTable, unpack
from pipeline.dataset.reader import PARTS, EpisodeDataset
from pipeline.dataset.summary import summarise
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode
from pipeline.errors import DamagedArtifact, IdentityMismatch, InvalidInput
from pipeline.fingerprint import differences
from pipeline.machine.files import file_table, sync_tree
from pipeline.machine.provenance import Stopwatch
from pipeline.storage.choice import open_arrays

EPISODES_FORMAT = 1

WHOLE_SOURCE = "whole_source"
"""Count of a manifest that says: the source held this many episodes when it was read to its end."""


@dataclass(frozen=True)
class Target:
    """How much is asked for: exactly `episodes`, or whole episodes holding at least `states`, or (both None) all."""

    episodes: int | None = None
    states: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("episodes", self.episodes), ("states", self.states)):
            if value is not None and value < 1:
                raise InvalidInput(f"{name}={value} asks for nothing; it must be at least 1.")
        if self.episodes is not None and self.states is not None:
            raise InvalidInput("Set episodes= or states=, not both.")

    def met(self, episodes: int, states: int) -> bool:
        """Whether a dataset of this size is enough."""
        if self.episodes is not None:
            return episodes >= self.episodes
        return self.states is not None and states >= self.states

    def prefix(self, artifact: Artifact) -> int:
        """How many leading episodes of a large enough dataset are meant."""
        if self.episodes is not None:
            return self.episodes
        if self.states is not None:
            return int((EpisodeDataset.of(artifact).state_ends < self.states).sum()) + 1
        return int(artifact.manifest.counts["episodes"])


class Noticed(NamedTuple):
    """What was noticed while episodes were made, for the manifest.

    Attributes:
        warnings: sentences for people.
        quirks: oddities of foreign data, `{"name": str, "count": int, "sentence": str}` each.
    """

    warnings: Sequence[str] = ()
    quirks: Sequence[Mapping[str, Any]] = ()


Fill = Callable[[DatasetWriter, Target], Noticed]
"""Appends episodes from `writer.count` on until the target is met or the source ends."""


def grow(workspace: ArtifactStore, spec: Spec, target: Target, fill: Fill, force: bool = False) -> Artifact:
    """The dataset of `spec` with at least `target`, made or extended by `fill` where it is not there yet.

    Raises IdentityMismatch when the name stands for other settings.
    """
    standing = workspace.get(spec)
    other_storage = same_settings(workspace, spec)
    if standing and not force and (done := _enough(standing, target)):
        return done
    stopwatch = Stopwatch()
    with claim(workspace.folder(spec), spec.fingerprint) as draft:
        standing = workspace.get(spec)  # another process may have grown it while we waited
        if standing and not force and (done := _enough(standing, target)):
            draft.discard()
            return done
        if force and standing:
            return _rebuild(workspace, standing, target, fill, draft)
        writer = DatasetWriter(draft.path, draft.final, workspace.storage)
        if other_storage is not None:
            _copy(other_storage, writer, target)
        noticed = _after(other_storage, fill(writer, target))
        commit(spec, writer, draft, standing, stopwatch, noticed, whole=target == Target())
    artifact = Artifact(draft.final, Manifest.read(draft.final), built=True)
    return dataclasses.replace(artifact, episodes=target.prefix(artifact))


def _enough(artifact: Artifact, target: Target) -> Artifact | None:
    counts = artifact.manifest.counts
    if target == Target():
        enough = counts.get(WHOLE_SOURCE) == counts["episodes"]
    else:
        enough = target.met(int(counts["episodes"]), int(counts["states"]))
    if not enough:
        return None
    return dataclasses.replace(artifact, episodes=target.prefix(artifact))


def same_settings(workspace: ArtifactStore, spec: Spec) -> Artifact | None:
    """The dataset in the other storage, if it is there. Raises IdentityMismatch for other settings under this name."""
    other_storage = None
    for artifact in workspace.of_kind(spec.domain, spec.task, spec.kind):
        if artifact.manifest.version != spec.name:
            continue
        lines = differences(artifact.manifest.parameters, dict(spec.parameters))
        if lines:
            raise IdentityMismatch(
                f"Dataset {spec.name} of {spec.label} is there with other settings ({artifact.path}):\n  "
                + "\n  ".join(lines)
                + f"\nUse the same settings, or another name: dataset={_next_name(spec.name or '')}"
            )
        if artifact.path != workspace.folder(spec):
            other_storage = artifact
    return other_storage


def _next_name(name: str) -> str:
    stem, _, number = name.rpartition("-v")
    return f"{stem}-v{int(number) + 1}" if stem and number.isdigit() else f"{name}-2"


def _copy(other_storage: Artifact, writer: DatasetWriter, target: Target) -> None:
    """Take episodes from the same dataset in the other storage instead of making them again."""
    before = 0
    for part in other_storage.manifest.parts:
        have = writer.count - before
        before += int(part["episodes"])
        if have >= int(part["episodes"]):
            continue
        if target.met(writer.count, writer.states):
            return
        arrays = {name: array[:] for name, array in open_arrays(other_storage.path / PARTS / str(part["name"])).items()}
        episodes = unpack(arrays)
        _check_digests(episodes, arrays, other_storage)
        all_but_one = int(arrays[ENDS][-1]) - len(episodes) - episodes[-1].length
        if not have and not target.met(before - 1, writer.states + all_but_one) and writer.take(part, arrays):
            continue
        for episode in episodes[have:]:
            if target.met(writer.count, writer.states):
                return
            writer.append(episode)


def _check_digests(episodes: Sequence[Episode], arrays: Mapping[str, np.ndarray], artifact: Artifact) -> None:
    """Raises DamagedArtifact where an episode is not what it was when it was stored."""
    for number, (episode, digest) in enumerate(zip(episodes, arrays["episodes/digest"], strict=True)):
        if episode.digest() != digest.tobytes():
            raise DamagedArtifact(
                f"Episode {number} of a part of {artifact.path} does not match its digest. stage=verify lists damaged "
                f"files. Remove that folder and run the same command again: its episodes are made anew."
            )


def _rebuild(workspace: ArtifactStore, standing: Artifact, target: Target, fill: Fill, draft: DraftFolder) -> Artifact:
    """Make the asked episodes again from nothing and compare their digest with the standing ones."""
    have = EpisodeDataset.of(standing)
    wanted = target.prefix(standing) if target.met(len(have), have.states) else len(have)
    writer = DatasetWriter(draft.path, draft.path / "nothing", workspace.storage)
    fill(writer, Target(episodes=wanted))
    parts = writer.finish()
    digest = summarise(draft.path, parts, writer.summaries)["digest"]
    draft.discard()
    same_content(_with_digest(standing, have.digest(wanted)), digest)
    return dataclasses.replace(standing, built=True, episodes=wanted)


def _after(before: Artifact | None, noticed: Noticed) -> Noticed:
    """What a dataset says already and what was noticed since, each once."""
    if before is None:
        return Noticed(list(dict.fromkeys(noticed.warnings)), noticed.quirks)
    old = before.manifest
    quirks = [*old.quirks, *(quirk for quirk in noticed.quirks if quirk not in old.quirks)]
    return Noticed(list(dict.fromkeys([*old.warnings, *noticed.warnings])), quirks)


def _file_table(
    folder: Path, parts: list[dict[str, Any]], before: Manifest | None, made: Mapping[str, FileTable]
) -> dict[str, dict[str, Any]]:
    """Checksums of all parts. Those of parts that were there before, or were just `made`, are not taken again."""
    files: dict[str, dict[str, Any]] = {}
    known = {str(part["name"]) for part in before.parts} if before else set()
    for name in (str(part["name"]) for part in parts):
        if name in made:
            files |= {f"{PARTS}/{name}/{path}": record for path, record in made[name].items()}
        elif before and name in known:
            prefix = f"{PARTS}/{name}/"
            files |= {path: record for path, record in before.files.items() if path.startswith(prefix)}
        else:
            files |= file_table(folder / PARTS / name, folder)
    return files


def _with_digest(artifact: Artifact, digest: str) -> Artifact:
    return dataclasses.replace(artifact, manifest=dataclasses.replace(artifact.manifest, digest=digest))


def commit(
    spec: Spec,
    writer: DatasetWriter,
    draft: DraftFolder,
    standing: Artifact | None,
    stopwatch: Stopwatch,
    noticed: Noticed,
    whole: bool,
) -> None:
    """Make the writer's episodes visible: one rename of the draft, or of the manifest where the dataset is there.

    `standing` is the dataset that grows; `whole` says that the source was read to its end. The draft is gone then.
    """
    parts = writer.finish()
    if not parts:
        draft.discard()
        why = "".join(f"\n  {warning}" for warning in dict.fromkeys(noticed.warnings))
        raise InvalidInput(f"No episode came for {spec.label}; nothing was written.{why}")
    draft.check()
    if standing:
        writer.commit_parts()
    folder = draft.final if standing else draft.path
    files = _file_table(folder, parts, standing.manifest if standing else None, writer.files)
    record = stopwatch.record()
    record["seconds"] = round(record["seconds"] + (standing.manifest.seconds if standing else 0.0), 3)
    facts = summarise(folder, parts, writer.summaries)
    noticed = _after(standing, noticed)
    if whole:
        facts["counts"][WHOLE_SOURCE] = facts["counts"]["episodes"]
    manifest = Manifest(
        kind=spec.kind,
        task=spec.label,
        version=spec.version,
        fingerprint=spec.fingerprint,
        format=spec.format,
        parameters=dict(spec.parameters),
        parts=parts,
        files=files,
        warnings=list(noticed.warnings),
        quirks=[dict(quirk) for quirk in noticed.quirks],
        **facts,
        **record,
    )
    if standing:
        manifest.write(folder)
        draft.discard()
        return
    manifest.write(folder)
    sync_tree(folder)
    draft.commit()
    (draft.final / IDENTITY).unlink()  # last: a draft without it would not be taken over after a kill
