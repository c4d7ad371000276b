"""Verify: checksums, content digests and invariants of finished artifacts; exit status 1 on any damage."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial

from beartype import beartype

from pipeline.artifacts.artifact import ALL_TASKS, EPISODES, Artifact, unread
from pipeline.artifacts.checks import damaged_files, wrong_arrays, wrong_identity
from pipeline.artifacts.derived import referred_to
from pipeline.artifacts.exported import EXPORT
from pipeline.artifacts.remake import audited, remake
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import chosen_tasks, needs_domain
from pipeline.dataset.checks import wrong_episodes
from pipeline.dataset.indexing import mend_index
from pipeline.dataset.prefix import content_digest
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import DamagedArtifact, InvalidInput, PipelineError, unknown_name
from pipeline.formats.checks import wrong_export
from pipeline.frames.checks import wrong_frames
from pipeline.frames.store import FRAMES
from pipeline.machine.files import read_json
from pipeline.machine.progress import progress
from pipeline.machine.threads import available_cores
from pipeline.regent.bins import SHAPES, read_lookup
from pipeline.regent.chain import bins_name
from pipeline.regent.checks import wrong_bins, wrong_distances, wrong_neighbours
from pipeline.regent.fits import made_of_others
from pipeline.regent.rows import RowLayout
from pipeline.rollout.audit import audit as replay_audit
from pipeline.rollout.simulator import NoSimulator, OtherSettings, simulator_of
from pipeline.wording import how_many

REPLAY = "replay"
SHOWN = 20

log = logging.getLogger(__name__)


FACTS = StageFacts(per_task=False)


@beartype
def run(
    *,
    domain: Domain | None,
    only: str | list[str] | None,
    workspace: Workspace,
    audit: str | None,
    workers: int | None,
) -> None:
    """Check every artifact of the chosen tasks. Raises DamagedArtifact that lists all damage found.

    With `audit="replay"` the collected datasets of `domain` are also stepped again from their seeds and actions; where
    the simulator differs, the first such step is damage, too.
    """
    if audit not in (None, REPLAY):
        raise unknown_name("audit", audit, [REPLAY])
    if audit and domain is None:
        raise needs_domain(["verify"], workspace)
    tasks = chosen_tasks(domain, only)
    unread: list[DamagedArtifact] = []
    unaudited: list[str] = []
    artifacts = [a for a in workspace.all(domain.name if domain else None, unread) if tasks is None or a.task in tasks]
    damage = [str(error.args[0]) for error in unread]
    again = [error.remake for error in unread if error.remake]
    for line in damage:
        log.info("damaged: %s", line)
    with progress("verify", "all", "artifacts", len(artifacts)) as advance:
        for artifact in artifacts:
            found = _damage(artifact, workspace)
            if audit and domain and not found and artifact.manifest.kind == EPISODES:
                try:
                    found += _replayed(artifact, domain, workers or available_cores())
                except OtherSettings as error:
                    unaudited.append(f"{error}\n  {audited(artifact).line()}")
            if artifact.manifest.kind == EPISODES and not found and mend_index(artifact):
                log.warning("%s: its index said other things than its parts, and was made again", artifact.path)
            log.info("%s %s: %s", artifact.manifest.kind, artifact.path, "damaged" if found else _whole(artifact))
            if found:
                wrong = _damaged(artifact, found[-1])
                found[-1] = str(wrong.args[0])
                again.append(wrong.remake)
            damage += [f"{artifact.path}: {line}" for line in found]
            advance(1)
    if damage:
        shown = "\n  ".join(damage[:SHOWN]) + (f"\n  and {len(damage) - SHOWN} more" if len(damage) > SHOWN else "")
        how = "".join(f"\n  {command}" for command in again[:SHOWN])
        raise DamagedArtifact(
            f"Found {how_many(len(damage), 'damaged places')}:\n  {shown}\nRemove a damaged folder and make it again"
            + (f":{how}" if how else ", where a command made it.")
        )
    if unaudited:
        raise InvalidInput(
            f"Not stepped again, for their simulator had other settings: {how_many(len(unaudited), 'datasets')}\n  "
            + "\n  ".join(unaudited)
            + "\nThe commands step them with the settings that were used. All else is whole."
        )
    log.info("%s %s whole", how_many(len(artifacts), "artifacts"), "is" if len(artifacts) == 1 else "are")


def _replayed(artifact: Artifact, domain: Domain, workers: int) -> list[str]:
    """Where the simulator differs from what was recorded; logs how much of the dataset replays exactly."""
    try:
        environment = simulator_of(artifact, domain)
    except NoSimulator as error:
        log.info("audit %s %s: %s", artifact.manifest.task, artifact.path.name, error)
        return []
    exact, steps, different = 0, 0, []
    with progress("audit", artifact.manifest.task, "episodes", int(artifact.manifest.counts["episodes"])) as advance:
        for each in replay_audit(environment, artifact, workers):
            advance(1)
            exact += each.row is None
            steps += each.length if each.row is None else each.row
            if each.row is not None:
                different.append(f"episode {each.episode} replays differently from row {each.row} on: {each.what}")
    counts = artifact.manifest.counts
    log.info(
        "audit %s %s: %s of %s episodes replay exactly (%s of %s steps before the first difference)",
        artifact.manifest.task, artifact.path.name, exact, counts["episodes"], steps, counts["states"],
    )  # fmt: skip
    return different


def _damaged(artifact: Artifact, message: str) -> DamagedArtifact:
    """The error that makes a damaged artifact again, by its path where its manifest does not fit itself."""
    if any(wrong_identity(artifact)):
        return unread(artifact.path, message)
    return DamagedArtifact(message, remake(artifact))


def _whole(artifact: Artifact) -> str:
    return "whole" if artifact.manifest.checksum else "whole; it was made before manifests had a checksum"


def _damage(artifact: Artifact, workspace: Workspace) -> list[str]:
    """What is wrong with an artifact; one that no check foresees must not hide what is wrong with the others."""
    found: list[str] = []
    try:
        for check in (
            wrong_identity,
            damaged_files,
            partial(_content, workspace=workspace),
            partial(_misfit, workspace=workspace),
        ):
            found += check(artifact)
            if found:
                break  # the content of what is damaged says nothing new
    except PipelineError as error:
        found.append(str(error))
    except Exception as error:
        log.debug("checking %s", artifact.path, exc_info=True)
        found.append(f"it cannot be checked: {type(error).__name__}: {error}")
    return found


def _content(artifact: Artifact, workspace: Workspace) -> Iterator[str]:
    kind = artifact.manifest.kind
    if kind == EPISODES:
        if not artifact.is_derived or _are_whole(referred_to(artifact)):
            yield from wrong_episodes(artifact)
        return
    if kind == FRAMES:
        yield from wrong_frames(artifact)
        return
    if kind == EXPORT:
        yield from wrong_export(artifact, workspace)
        return
    yield from wrong_arrays(artifact)
    if kind == "distances":
        yield from wrong_distances(artifact)
    if kind == "bins" and not artifact.manifest.parents:
        return  # fetched: the episodes are not here; its arrays were compared with what was published
    if kind in ("retrieval", "bins"):
        parent = artifact.parent(EPISODES)
        found = workspace.dataset(artifact.domain, artifact.task, parent.version, parent.episodes)
        try:
            episodes = EpisodeDataset.of(found)
        except DamagedArtifact:
            return  # that is a line of its own
        if episodes.digest() != parent.digest:
            return  # `_misfit` says so
        if kind == "retrieval":
            yield from wrong_neighbours(artifact, episodes)
        else:
            folder = artifact.path / bins_name(artifact)
            shapes = read_json(folder / SHAPES)
            layout = RowLayout(episodes.lengths, shapes["rewards"][1])
            yield from wrong_bins(folder, shapes, layout.row_lengths, read_lookup(folder))


def _are_whole(datasets: Sequence[Artifact]) -> bool:
    """Whether the datasets that another refers to are whole; where they are not, that is a line of their own."""
    try:
        for each in datasets:
            each.require_whole(each.groups(each.episodes))
    except DamagedArtifact:
        return False
    return True


def _misfit(artifact: Artifact, workspace: Workspace) -> Iterator[str]:
    """What an artifact was not made of, as its parents are now. Those that are gone, or damaged, are not compared."""
    if artifact.task == ALL_TASKS:
        return
    there: dict[str, Artifact] = {}
    same_files = True
    for parent in artifact.parents:
        whole = workspace.holding(artifact, parent)
        fitting = [each for each in whole if content_digest(each) == parent.digest]
        if whole and not fitting:
            yield f"its parent, {parent.kind} {parent.version}, has other content now"
            return
        if fitting:
            there[parent.kind] = fitting[0]
        same_files &= any(each.files_digest(parent.episodes) == parent.read for each in fitting)
    if not same_files:
        yield from made_of_others(artifact, there, workspace)
