"""Ingest: a foreign dataset → a dataset of ours, episode by episode."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict

from beartype import beartype

from pipeline.artifacts.artifact import EPISODES, Artifact, Spec
from pipeline.artifacts.pieces import pieces_line, shard_numbers
from pipeline.campaign.stage import PiecesMade, StageFacts
from pipeline.command import again
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import EPISODES_FORMAT, Noticed, found_dataset, grow
from pipeline.dataset.origin import MADE_FROM
from pipeline.dataset.sharded import dataset_pieces
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.dataset.writer import DatasetWriter
from pipeline.domains.domain import Domain
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, UnknownName
from pipeline.frames.store import save_frames, spilled_frames
from pipeline.machine.progress import progress
from pipeline.machine.threads import available_cores
from pipeline.rollout.frames import frames_of_source, keep_lockstep
from pipeline.sources.contract import BulkSource, PicturedSource, Source
from pipeline.sources.files import look_again
from pipeline.wording import few, how_many

log = logging.getLogger(__name__)

NO_TASK = "no-task"
"""Asked for, it brings out whether data know the names of their tasks."""

CORES_PER_PIECE = 2
"""A piece that is being read keeps about so many cores busy: one decodes, the others write."""


def tasks(*, domain: Domain, source: Source | BulkSource | None) -> Sequence[str] | None:
    """The domain's tasks that the source has, where nobody names one.

    Raises InvalidInput where its data are of one of several tasks and nothing says of which.
    """
    if source is None or (known := source.tasks(domain.name)) is not None:
        return None if source is None else known
    there = source.present(domain.name)
    if there is None and len(domain.tasks) > 1:
        there = _answering(source, domain)
    return None if there is None else _known_among(there, domain)


def _answering(source: Source | BulkSource, domain: Domain) -> Sequence[str] | None:
    """The tasks of data that know their names, or whose export says of which they are; None where they cannot be read.

    Others answer to any name: they would become every task of the domain. Raises InvalidInput.
    """
    try:
        made_from = source.identity(domain.name, NO_TASK).get(MADE_FROM)
    except UnknownName as error:
        return [name.removeprefix(f"{domain.name}/") for name in error.known] or None
    except InvalidInput:  # such as a folder that is not there: the first task says so, in words of its own
        return None
    origins = made_from if isinstance(made_from, list) else [made_from]
    exported = [each["task"] for each in origins if isinstance(each, Mapping) and each.get("domain") == domain.name]
    if exported:
        return exported
    several = f"{domain.name} has {how_many(len(domain.tasks), 'tasks')}"
    raise InvalidInput(
        f"Nothing in these data says of which task they are, and {several}. Say it with task=NAME.\n"
        f"Such as: {again(task=domain.tasks[0])}"
    )


def _known_among(there: Sequence[str], domain: Domain) -> list[str]:
    """The tasks of which the data have one of the names. Raises InvalidInput where there is none."""
    found, others = list[str](), list[str]()
    for name in there:
        try:
            found.append(domain.task(name))
        except UnknownName:
            others.append(name)
    if not found:
        raise InvalidInput(
            f"The source has {few(others)}, and none of them is called as a task of {domain.name} "
            f"({few(list(domain.tasks))}). Say which task it is: task=NAME"
        )
    if others:
        log.warning("ingest %s: left out %s, which are called as no task", domain.name, few(others))
    return list(dict.fromkeys(found))


@beartype
def foresee(
    *,
    source: Source | BulkSource | None,
    dataset: str,
    episodes: int | None,
    states: int | None,
    workers: int | None = None,
    shards: str | int | None = None,
    force: bool = False,
) -> None:
    """Raises InvalidInput for settings with which no task can be ingested."""
    if source is None:
        command = again(source="jat", source__path="FOLDER")
        raise InvalidInput(f"stage=ingest needs a source. With a folder of JAT's in the place of FOLDER: {command}")
    check_dataset_name(dataset)
    Amount(episodes, states)
    if shard_numbers("ingest", shards, force) is not None and not (isinstance(source, BulkSource) and source.pieces):
        raise InvalidInput(
            f"stage.ingest.shards={shards} is for a source whose files are read apart, such as dqn_replay's "
            f"checkpoints; source={source.name} is read from its beginning.\n"
            f"All of it in one job: {again(stage__ingest__shards=None)}"
        )
    if shards is not None and isinstance(source, BulkSource) and source.download_only:
        raise InvalidInput(
            f"source.download_only=true brings the files of all checkpoints, stage.ingest.shards={shards} reads some: "
            f"set one of them.\nThe download: {again(stage__ingest__shards=None)}"
        )


FACTS = StageFacts(begins=True, tasks=tasks, foresee=foresee)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    source: Source | BulkSource | None,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    states: int | None,
    workers: int | None = None,
    force: bool,
    shards: str | int | None = None,
) -> Artifact | PiecesMade | None:
    """The dataset `dataset` of one task: the source's first `episodes`, or at least `states`, or everything.

    `workers` pieces of a source that comes in pieces are read at once. Nothing where the source was only to be
    downloaded. `shards`, such as `0-9`, makes only these of its pieces, for a call without it that joins them.
    """
    foresee(
        source=source, dataset=dataset, episodes=episodes, states=states, workers=workers, shards=shards, force=force
    )
    assert source is not None
    look_again()
    if isinstance(source, BulkSource) and source.download_only:
        source.download(domain.name, task)
        return None
    spec = Spec(
        domain.name,
        task,
        EPISODES,
        EPISODES_FORMAT,
        {"source": dict(source.identity(domain.name, task))},
        name=dataset,
    )
    at_once = workers or max(1, available_cores() // CORES_PER_PIECE)
    if (numbers := shard_numbers("ingest", shards, force)) is not None:
        assert isinstance(source, BulkSource)
        amount = Amount(episodes, states)
        found = found_dataset(workspace, spec, amount)
        return found or _make_some(workspace, spec, amount, source, numbers, at_once)

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        if isinstance(source, BulkSource):
            _fill_with_parts(writer, amount, source, spec, workspace, at_once)
        elif isinstance(source, PicturedSource):
            _fill_with_pictures(writer, amount, source, spec, workspace)
        else:
            _fill(writer, amount, source.episodes(spec.domain, spec.task, writer.count), source, spec)
        quirks = list(source.quirks(domain.name, task))
        return Noticed([quirk.sentence for quirk in quirks], [asdict(quirk) for quirk in quirks])

    artifact = grow(workspace, spec, Amount(episodes, states), fill, force)
    if isinstance(source, PicturedSource):
        pictures = frames_of_source(artifact, source, workspace, force)
        log.info("frames %s are %s (%s pictures)", spec.label, pictures.path, f"{pictures.manifest.counts['frames']:,}")
    if artifact.built and (parts := _counted(artifact)):
        log.info("ingest %s: %s", spec.label, parts)
    have = int(artifact.manifest.counts["episodes"])
    if episodes and have < episodes:
        raise InvalidInput(
            f"The source has {how_many(have, 'episodes')} of {spec.label}, episodes={episodes} asked for more.\n"
            f"Take them all: {again(episodes=None)}"
        )
    return artifact


def _counted(artifact: Artifact) -> str:
    """What a source counted of its parts, in words: rows that it left out, episodes that it joined."""
    names = {name for part in artifact.manifest.parts for name in part.facts or {}}
    return ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in artifact.manifest.counts.items() if name in names
    )


def _fill(writer: DatasetWriter, amount: Amount, episodes: Iterable[Episode], source: Source, spec: Spec) -> None:
    total = amount.episodes or (source.count(spec.domain, spec.task) if amount.everything else None)
    with progress("ingest", spec.label, "episodes", total, writer.count) as advance:
        for episode in episodes:
            if amount.met(writer.size):
                return
            writer.append(episode)
            advance(1)


def _fill_with_pictures(
    writer: DatasetWriter, amount: Amount, source: PicturedSource, spec: Spec, workspace: Workspace
) -> None:
    """Keep the pictures of each episode beside, before the episode itself: what is stored has its pictures."""
    folder = writer.spill.parent / "pictures"
    folder.mkdir(exist_ok=True)

    def kept() -> Generator[Episode, None, None]:
        for episode, frames in source.pictured(spec.domain, spec.task, writer.count):
            if not amount.met(writer.size):
                save_frames(spilled_frames(folder, writer.count), frames, episode.digest())
            yield episode

    with closing(kept()) as episodes:
        _fill(writer, amount, episodes, source, spec)
    keep_lockstep(folder, workspace, spec.domain, spec.task, spec.version + workspace.storage.suffix)


def _make_some(
    workspace: Workspace, spec: Spec, amount: Amount, source: BulkSource, numbers: range, workers: int
) -> PiecesMade:
    """Make some pieces of the source, and leave them for the job that joins all."""
    with dataset_pieces(workspace, spec, numbers, "ingest") as pieces:
        wanted, there = source.make_pieces(
            spec.domain,
            spec.task,
            pieces.spill / source.name,
            workspace.storage,
            pieces.before,
            amount,
            workers,
            numbers,
        )
    return PiecesMade(pieces_line("ingest", spec, source.pieces, wanted, there))


def _fill_with_parts(
    writer: DatasetWriter, amount: Amount, source: BulkSource, spec: Spec, workspace: Workspace, workers: int
) -> None:
    scratch = writer.spill / source.name
    with closing(
        source.parts(spec.domain, spec.task, scratch, workspace.storage, writer.size, amount, workers)
    ) as parts:
        for part in parts:
            writer.adopt(part.only(amount.needed(writer.size, part.lengths), workspace.storage))
            if amount.met(writer.size):
                return
