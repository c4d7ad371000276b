"""Frames of a dataset: kept while it was made, taken over from earlier ones, drawn by replay, or read from a source."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.artifact import EPISODES, Artifact, Spec
from pipeline.artifacts.claim import DRAFT
from pipeline.artifacts.derived import referred_to
from pipeline.artifacts.draft import Draft
from pipeline.artifacts.remake import verified
from pipeline.dataset.prefix import episodes_parent, of_leading_episodes
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact, DigestMismatch, InvalidInput
from pipeline.frames.store import (
    DIGESTS,
    ENDS,
    EPISODE_ENDS,
    FRAMES,
    PNG,
    Frames,
    frame_ends,
    load_frames,
    save_frames,
    spilled_frames,
)
from pipeline.interfaces import Environment
from pipeline.machine.progress import progress
from pipeline.rollout.audit import audit
from pipeline.rollout.replay import check_environment
from pipeline.sources.contract import PicturedSource

FRAMES_FORMAT = 1
SPILL = "spill"
Drawn = tuple[Frames, Mapping[bytes, int]]
"""Pictures of a dataset's first episodes, and the numbers of its episodes by their digests."""

LOCKSTEP = f"{DRAFT}lockstep-"
"""Begins the names of folders of pictures that were made while a dataset was collected."""


def frames_of(
    dataset: Artifact, environment: Callable[[], Environment], workspace: Workspace, workers: int, force: bool
) -> Artifact:
    """The frames of a dataset's episodes, as many as `dataset.episodes` says.

    Those of foreign episodes can only be there already. Raises InvalidInput where they are not.
    """
    recorded = dataset.manifest.parameters.get("environment")
    if recorded is None:
        return _of_foreign(dataset, workspace, None, force=False)
    simulator = environment()
    try:
        check_environment(recorded, simulator.identity())
        parameters = {"picture": dict(simulator.picture_identity())}
    finally:
        simulator.close()

    def draw(spill: Path, digests: list[bytes], missing: list[int]) -> Iterator[None]:
        return _replay(spill, environment, dataset, workers, missing)

    return _made(dataset, parameters, workspace, draw, force)


def frames_of_source(dataset: Artifact, source: PicturedSource, workspace: Workspace, force: bool) -> Artifact:
    """The pictures that came with a source's episodes, as many as `dataset.episodes` says; their files as they are."""
    return _of_foreign(dataset, workspace, source, force)


def _of_foreign(dataset: Artifact, workspace: Workspace, source: PicturedSource | None, force: bool) -> Artifact:
    name = dataset.manifest.parameters.get("source", {}).get("source")

    def draw(spill: Path, digests: list[bytes], missing: list[int]) -> Iterator[None]:
        if source is None:
            raise _nothing_to_replay(dataset)
        return _read_again(spill, digests, source, dataset, missing)

    if source is None and not dataset.is_derived and not of_leading_episodes(workspace, dataset, FRAMES):
        raise _nothing_to_replay(dataset)
    return _made(dataset, {"picture": {"source": name}}, workspace, draw, force)


def _nothing_to_replay(dataset: Artifact) -> InvalidInput:
    return InvalidInput(
        f"{dataset.path.name} of {dataset.manifest.task} was not made by a simulator of this project, so there is "
        f"nothing to replay. Its frames can only come from where its episodes came from."
    )


def _made(
    dataset: Artifact,
    parameters: dict[str, Any],
    workspace: Workspace,
    draw: Callable[[Path, list[bytes], list[int]], Iterator[None]],
    force: bool,
) -> Artifact:
    """Frames of what is there already, and of what `draw` puts into the spill's folder."""
    episodes = EpisodeDataset.of(dataset)
    parents = (episodes_parent(dataset, episodes, len(episodes)),)
    spec = Spec(dataset.domain, dataset.task, FRAMES, FRAMES_FORMAT, parameters, parents)

    def make(draft: Draft) -> None:
        spill = draft.path / SPILL
        spill.mkdir(exist_ok=True)
        digests = [row.tobytes() for row in episodes.per_episode("digest")]
        if not force:
            most = None if "source" in parameters["picture"] else len(episodes)
            earlier = [*_earlier(workspace, spec, dataset, most), *_of_others(workspace, spec, dataset)]
            _take_over(spill, digests, lockstep_folders(workspace, dataset), earlier)
        _draw_missing(spill, digests, dataset, draw)
        _write(draft, spill, digests)
        shutil.rmtree(spill)

    built = workspace.build(spec, make, force)
    for folder in lockstep_folders(workspace, dataset):
        shutil.rmtree(folder)
    return built


def lockstep_folders(workspace: Workspace, dataset: Artifact) -> list[Path]:
    """Folders of pictures that collections of this dataset have left for its frames."""
    return sorted(_folder(workspace, dataset.domain, dataset.task).glob(f"{LOCKSTEP}{dataset.path.name}-????????"))


def keep_lockstep(pictures: Path, workspace: Workspace, domain: str, task: str, dataset: str) -> None:
    """Move a folder of pictures to where the frames of the dataset will look for them."""
    folder = _folder(workspace, domain, task)
    folder.mkdir(parents=True, exist_ok=True)
    pictures.rename(folder / f"{LOCKSTEP}{dataset}-{uuid.uuid4().hex[:8]}")


def _folder(workspace: Workspace, domain: str, task: str) -> Path:
    return workspace.root / domain / task / FRAMES


def _earlier(workspace: Workspace, spec: Spec, dataset: Artifact, most: int | None) -> Iterator[Drawn]:
    """Frames of at most so many episodes of the same dataset, drawn in the same way."""
    drawn = [
        artifact
        for artifact in of_leading_episodes(workspace, dataset, FRAMES)
        if artifact.manifest.parameters == dict(spec.parameters)
        and artifact.manifest.format == spec.format
        and (most is None or (artifact.parent(EPISODES).episodes or 0) <= most)
    ]
    if drawn:
        digests = EpisodeDataset.of(replace(dataset, episodes=None)).per_episode("digest")
        numbers = {row.tobytes(): number for number, row in enumerate(digests)}
        yield from ((Frames(artifact), numbers) for artifact in drawn)


def _of_others(workspace: Workspace, spec: Spec, dataset: Artifact) -> Iterator[Drawn]:
    """The same of the datasets that a derived one refers to."""
    for other in referred_to(dataset) if dataset.is_derived else ():
        yield from _earlier(workspace, spec, other, None)
        yield from _of_others(workspace, spec, other)


def _take_over(spill: Path, digests: list[bytes], folders: list[Path], earlier: list[Drawn]) -> None:
    """Pictures that are there already, each checked to be of the very episode."""
    for index, digest in enumerate(digests):
        path = spilled_frames(spill, index)
        for folder in folders:
            if not path.exists() and load_frames(made := spilled_frames(folder, index), digest) is not None:
                made.rename(path)
        for frames, numbers in earlier:
            number = numbers.get(digest, len(frames))
            if not path.exists() and number < len(frames):
                save_frames(path, frames[number], digest)


def _draw_missing(
    spill: Path,
    digests: list[bytes],
    dataset: Artifact,
    draw: Callable[[Path, list[bytes], list[int]], Iterator[None]],
) -> None:
    """Draw the pictures that are still missing."""
    missing = [n for n, digest in enumerate(digests) if load_frames(spilled_frames(spill, n), digest) is None]
    if not missing:
        return
    with progress("frames", dataset.manifest.task, "episodes", len(digests), len(digests) - len(missing)) as advance:
        for _ in draw(spill, digests, missing):
            advance(1)


def _replay(
    spill: Path, environment: Callable[[], Environment], dataset: Artifact, workers: int, missing: list[int]
) -> Iterator[None]:
    for each in audit(environment, dataset, workers, missing, spill):
        if each.row is not None:
            raise DigestMismatch(
                f"Episode {each.episode} of {dataset.path} replays differently from row {each.row} on "
                f"({each.what}). Pictures of it would be wrong, so none were made. Look for a simulator that is "
                f"not deterministic.\nCheck the dataset's files: {verified(dataset).line()}"
            )
        yield


def _read_again(
    spill: Path, digests: list[bytes], source: PicturedSource, dataset: Artifact, missing: list[int]
) -> Iterator[None]:
    wanted, (first, last) = set(missing), (missing[0], missing[-1])
    reading = source.pictured(dataset.domain, dataset.task, first)
    for number, (episode, frames) in enumerate(islice(reading, last + 1 - first), first):
        if number not in wanted:
            continue
        if episode.digest() != digests[number]:
            raise DigestMismatch(
                f"Episode {number} of {dataset.path} is another one in its source now. Pictures of it would be wrong, "
                f"so none were kept."
            )
        save_frames(spilled_frames(spill, number), frames, digests[number])
        yield


def _write(draft: Draft, spill: Path, digests: list[bytes]) -> None:
    paths = [spilled_frames(spill, index) for index in range(len(digests))]
    rows = [frame_ends(path) for path in paths]
    counts, sizes = np.asarray([len(ends) for ends in rows]), np.asarray([int(ends[-1]) for ends in rows])
    starts = np.cumsum(sizes) - sizes
    writer = draft.array(PNG, (int(sizes.sum()),), "uint8", "PNG files, one after the other", content=False)
    content = []
    for path, start, digest in zip(paths, starts.tolist(), digests, strict=True):
        frames = load_frames(path, digest)
        if frames is None:
            raise DamagedArtifact(f"{path} was changed by another program. Run the same command again.")
        content.append(frames.digest)
        writer.append(frames.png[max(0, writer.appended - start) :])
    ends = np.concatenate([ends + start for ends, start in zip(rows, starts, strict=True)])
    small = {
        ENDS: ends,
        EPISODE_ENDS: np.cumsum(counts),
        DIGESTS: np.stack([np.frombuffer(d, np.uint8) for d in content]),
    }
    for name, array in small.items():
        target = draft.array(name, array.shape, array.dtype, "bytes" if name == ENDS else "", content=name == DIGESTS)
        target.append(array[target.done :])
    draft.counts |= {"episodes": len(rows), "frames": len(ends)}
