"""Growing a dataset: which episodes are there, which are missing, and the one step that makes new ones visible."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.artifacts.artifact import MANIFEST, PARTS, WHOLE_SOURCE, Artifact, Manifest, Part, Spec
from pipeline.artifacts.claim import IDENTITY, DraftFolder, claim
from pipeline.artifacts.pieces import forget_notes, join_pieces, notes_of, pieces_of, remove_pieces, require_same_pieces
from pipeline.artifacts.remake import again_without
from pipeline.artifacts.store import FORCED, ArtifactStore, artifact_in_place, same_content
from pipeline.artifacts.whole import damage_in, remember_written
from pipeline.command import again
from pipeline.dataset.amount import Amount, Size
from pipeline.dataset.indexing import keep_index
from pipeline.dataset.origin import changed_since_export
from pipeline.dataset.parts import unpack
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.spill import SPILL, spilled_episodes, without_overlaps
from pipeline.dataset.stuck import STILL, STUCK
from pipeline.dataset.summary import summarise
from pipeline.dataset.writer import DatasetWriter
from pipeline.errors import DamagedArtifact, IdentityMismatch, InvalidInput
from pipeline.fingerprint import differences
from pipeline.machine.files import FileTable, file_table, sync_tree
from pipeline.machine.provenance import Stopwatch
from pipeline.storage.choice import open_arrays, storages
from pipeline.wording import few, how_many

EPISODES_FORMAT = 1

CHANGED = "changed_since_export"
"""The quirk of episodes that are not those of the export that they came from."""

log = logging.getLogger(__name__)


class Noticed(NamedTuple):
    """What was noticed while episodes were made, for the manifest.

    Attributes:
        warnings: sentences for people.
        quirks: oddities of foreign data, the fields of `pipeline.sources.quirks.Quirk` each; datasets of earlier
            versions have name, count and sentence alone.
    """

    warnings: Sequence[str] = ()
    quirks: Sequence[Mapping[str, Any]] = ()


Fill = Callable[[DatasetWriter, Amount], Noticed]
"""Appends episodes from `writer.count` on until the amount is met or the source ends."""


def grow(store: ArtifactStore, spec: Spec, amount: Amount, fill: Fill, force: bool = False) -> Artifact:
    """The dataset of `spec` with at least `amount`, made or extended by `fill` where it is not there yet.

    Raises IdentityMismatch when the name stands for other settings.
    """
    existing = store.get(spec)
    other_storage = same_settings(store, spec)
    if existing and not force and _is_enough(existing, amount):
        return _limited(existing, amount)
    stopwatch = Stopwatch()
    if not (force and existing):
        require_same_pieces(store.folder(spec), spec)
    with claim(store.folder(spec), spec.fingerprint) as draft:
        existing = store.get(spec)  # another process may have grown it while we waited
        if existing and not force and _is_enough(existing, amount):
            draft.discard()
            return _limited(existing, amount)
        if force and existing:
            return _rebuild(store, existing, amount, fill, draft)
        waiting = join_pieces(draft.path, draft.final, spec)
        committed = int(existing.manifest.counts["episodes"]) if existing else 0
        writer = _opened(draft, draft.final, store, committed, waiting)
        if other_storage is not None:
            _copy(other_storage, writer, amount)
        noticed = fill(writer, amount)
        sentences, seconds = notes_of(waiting)
        stopwatch.add(seconds)
        noticed = _after(other_storage, noticed._replace(warnings=[*sentences, *noticed.warnings]))
        commit(spec, writer, draft, existing, stopwatch, noticed, whole=amount.everything)
        forget_notes(draft.final)
        if amount.everything or not _waits(pieces_of(draft.final) / SPILL):
            remove_pieces(draft.final)
    made = Artifact(draft.final, Manifest.read(draft.final), built=True, reason=_grown(existing, other_storage, writer))
    return _limited(made, amount, written={f"{PARTS}/{name}" for name in writer.files})


def _grown(existing: Artifact | None, other_storage: Artifact | None, writer: DatasetWriter) -> str:
    """What became of the dataset that was there; empty where there was none."""
    if existing:
        return f"grown: episodes {existing.manifest.counts['episodes']} -> {writer.count}"
    return f"again: in another storage than {other_storage.path.name}" if other_storage else ""


def _opened(draft: DraftFolder, final: Path, store: ArtifactStore, committed: int, waiting: Path) -> DatasetWriter:
    """A writer of the draft. Says how many finished episodes an earlier run, or other jobs, have left.

    They wait in the folder `waiting`: the draft, or that of the pieces.
    """
    writer = DatasetWriter(draft.path, final, store.storage, spill=waiting / SPILL)
    if waiting != draft.path:
        without_overlaps(writer.spill)
    if draft.resumed or waiting != draft.path:
        finished = sum(number >= writer.count for number in spilled_episodes(writer.spill))
        log.info("found %s, finished before", how_many(writer.count - committed + finished, "new episodes"))
    return writer


def found_dataset(store: ArtifactStore, spec: Spec, amount: Amount) -> Artifact | None:
    """The dataset of `spec`, limited to `amount`, where as much is there; raises IdentityMismatch as `grow`."""
    same_settings(store, spec)
    existing = store.get(spec)
    return _limited(existing, amount) if existing and _is_enough(existing, amount) else None


def _waits(spill: Path) -> bool:
    """Whether finished episodes wait there for a larger dataset."""
    return spill.is_dir() and any(path.suffix != ".tmp" for path in spill.iterdir())


def _is_enough(artifact: Artifact, amount: Amount) -> bool:
    counts = artifact.manifest.counts
    if amount.everything:
        return counts.get(WHOLE_SOURCE) == counts["episodes"]
    return amount.met(Size(int(counts["episodes"]), int(counts["states"])))


def _limited(artifact: Artifact, amount: Amount, written: Container[str] = ()) -> Artifact:
    """A large enough dataset, whole, limited to the leading episodes that are asked for.

    Files of the parts that were just `written` are not read back: their checksums were taken as they went out.
    """
    artifact.require_whole({group: files for group, files in artifact.groups().items() if group not in written})
    if amount.states is not None:
        return dataclasses.replace(artifact, episodes=amount.leading(EpisodeDataset.of(artifact).state_ends))
    return dataclasses.replace(artifact, episodes=amount.episodes or int(artifact.manifest.counts["episodes"]))


def same_settings(store: ArtifactStore, spec: Spec, ending: str = "") -> Artifact | None:
    """The dataset in the other storage, if it is there. Raises IdentityMismatch for other settings under this name.

    `ending` is the end of its name that its stage gives to the dataset that a command names.
    """
    other_storage = None
    for folder in (store.folder(spec, storage) for storage in storages()):
        if not (folder / MANIFEST).is_file():
            continue
        artifact = artifact_in_place(folder)
        lines = differences(artifact.manifest.parameters, dict(spec.parameters))
        if lines:
            raise IdentityMismatch(
                f"Dataset {spec.name} of {spec.label} is there with other settings ({artifact.path}):\n  "
                + "\n  ".join(lines)
                + f"\nUse the same settings, or another name: {again(dataset=_free_name(store, spec, ending))}"
            )
        if artifact.path != store.folder(spec):
            other_storage = artifact
    return other_storage


def _free_name(store: ArtifactStore, spec: Spec, ending: str) -> str:
    """The dataset's name without its ending, with the next number of a version that is not there yet."""
    taken = {artifact.manifest.version for artifact in store.of_kind(spec.domain, spec.task, spec.kind)}
    whole = str(spec.name).removesuffix(ending)
    stem, _, number = whole.rpartition("-v")
    start = int(number) + 1 if stem and number.isdigit() else 2
    names = (f"{stem if stem and number.isdigit() else whole}-v{each}" for each in count(start))
    return next(name for name in names if f"{name}{ending}" not in taken)


def _copy(other_storage: Artifact, writer: DatasetWriter, amount: Amount) -> None:
    """Take episodes from the same dataset in the other storage instead of making them again."""
    before = 0
    for part in other_storage.manifest.parts:
        have = writer.count - before
        before += part.episodes
        if have >= part.episodes:
            continue
        if amount.met(writer.size):
            return
        _check_files(other_storage, part)
        arrays = {name: array[:] for name, array in open_arrays(other_storage.path / PARTS / part.name).items()}
        episodes = unpack(arrays)
        all_but_one = Size(before - 1, writer.size.states + part.states - episodes[-1].length)
        if not have and not amount.met(all_but_one) and writer.take(part, arrays):
            continue
        for episode in episodes[have:]:
            if amount.met(writer.size):
                return
            writer.append(episode)


def _check_files(artifact: Artifact, part: Part) -> None:
    """Raises DamagedArtifact where the files of a part are not what the manifest lists."""
    name = f"{PARTS}/{part.name}"
    if found := damage_in(artifact.path, {name: artifact.groups()[name]}):
        raise DamagedArtifact(f"{artifact.path} is damaged: {few(found)}.", again_without(artifact.path))


def _rebuild(store: ArtifactStore, existing: Artifact, amount: Amount, fill: Fill, draft: DraftFolder) -> Artifact:
    """Make the asked episodes again from nothing and compare their digest with the existing ones."""
    have = EpisodeDataset.of(existing)
    count = amount.leading(have.state_ends) if amount.met(Size(len(have), have.states)) else len(have)
    writer = _opened(draft, draft.path / "nothing", store, 0, draft.path)
    writer.columns.keep_names(have.array_names())
    fill(writer, Amount(episodes=count))
    parts = writer.finish()
    digest = summarise(draft.path, parts, writer.summaries)["digest"]
    draft.discard()
    same_content(_with_digest(existing, have.digest(count)), digest)
    return dataclasses.replace(existing, built=True, episodes=count, reason=FORCED)


def _after(before: Artifact | None, noticed: Noticed) -> Noticed:
    """The warnings and quirks of a dataset's manifest and the new ones, without repeats."""
    if before is None:
        return Noticed(list(dict.fromkeys(noticed.warnings)), noticed.quirks)
    old = before.manifest
    again = {
        _name_and_sentence(quirk) for quirk in noticed.quirks
    }  # an earlier version noted the same without its rule
    quirks = [*(quirk for quirk in old.quirks if _name_and_sentence(quirk) not in again), *noticed.quirks]
    return Noticed(list(dict.fromkeys([*old.warnings, *noticed.warnings])), quirks)


def _name_and_sentence(quirk: Mapping[str, Any]) -> tuple[Any, Any]:
    return quirk["name"], quirk["sentence"]


def _file_table(
    folder: Path, parts: Sequence[Part], before: Manifest | None, made: Mapping[str, FileTable]
) -> dict[str, dict[str, Any]]:
    """Checksums of all parts. Parts that were there before, or were just `made`, are not read again."""
    files: dict[str, dict[str, Any]] = {}
    known = {part.name for part in before.parts} if before else set()
    for part in parts:
        prefix = f"{PARTS}/{part.name}/"
        if part.name in made:
            files |= {f"{prefix}{path}": record for path, record in made[part.name].items()}
        elif before and part.name in known:
            files |= {path: record for path, record in before.files.items() if path.startswith(prefix)}
        else:
            files |= file_table(folder / PARTS / part.name, folder)
    return files


def _with_digest(artifact: Artifact, digest: str) -> Artifact:
    return dataclasses.replace(artifact, manifest=dataclasses.replace(artifact.manifest, digest=digest))


def commit(
    spec: Spec,
    writer: DatasetWriter,
    draft: DraftFolder,
    existing: Artifact | None,
    stopwatch: Stopwatch,
    noticed: Noticed,
    whole: bool,
) -> None:
    """Make the writer's episodes visible: one rename of the draft, or of the manifest where the dataset is there.

    `existing` is the dataset that grows; `whole` says that the source was read to its end. The draft is gone then.
    """
    parts = writer.finish()
    if not parts:
        draft.discard()
        why = "".join(f"\n  {warning}" for warning in dict.fromkeys(noticed.warnings))
        raise InvalidInput(f"No episode came for {spec.label}; nothing was written.{why}")
    draft.check()
    if existing:
        writer.commit_parts()
    folder = draft.final if existing else draft.path
    files = _file_table(folder, parts, existing.manifest if existing else None, writer.files)
    record = stopwatch.record()
    record["seconds"] = round(record["seconds"] + (existing.manifest.seconds if existing else 0.0), 3)
    facts = summarise(folder, parts, writer.summaries)
    _warn_of_stuck(spec, facts["counts"].get(STUCK, 0) - (existing.manifest.counts.get(STUCK, 0) if existing else 0))
    noticed = _after(existing, _with_change(noticed, spec, facts, whole))
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
    if existing:
        manifest.write(folder)
        draft.discard()
        _keep_beside(Artifact(folder, manifest), writer)
        return
    manifest.write(folder)
    sync_tree(folder)
    draft.commit()
    _keep_beside(Artifact(draft.final, manifest), writer)
    (draft.final / IDENTITY).unlink()  # last: a draft without it would not be taken over after a kill


def _warn_of_stuck(spec: Spec, episodes: int) -> None:
    """Say it where there are new episodes in which a player waits for something."""
    if episodes:
        log.warning(
            "%s %s: in %d new episodes nothing on the screen changes for %d decisions and more. What does the player "
            "wait for? In Atari games it may be FIRE: domain.environment.fire_reset=true (docs/domains/atari.md)",
            spec.label, spec.version, episodes, STILL,
        )  # fmt: skip


def _with_change(noticed: Noticed, spec: Spec, facts: Mapping[str, Any], whole: bool) -> Noticed:
    """What was noticed, and whether the episodes are others than those of the export that they came from."""
    count = facts["counts"]["episodes"]
    changed = changed_since_export(spec.parameters, spec.label, facts["digest"], count, whole)
    if not changed:
        return noticed
    quirk = {"name": CHANGED, "count": 1, "sentence": changed, "rule": "read as they are", "dropped": 0, "unit": ""}
    return Noticed([*noticed.warnings, changed], [*noticed.quirks, quirk])


def _keep_beside(dataset: Artifact, writer: DatasetWriter) -> None:
    """What readers would have to find out again: where episodes lie, and that the parts just written are whole."""
    written = {f"{PARTS}/{name}" for name in writer.files}
    remember_written(dataset.path, {group: files for group, files in dataset.groups().items() if group in written})
    keep_index(dataset, {name: known.indexed for name, known in writer.summaries.items() if known.indexed})
