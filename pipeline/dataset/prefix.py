"""The first episodes of a dataset: as a parent, and what was made of them."""

from __future__ import annotations

import dataclasses

from pipeline.artifacts.artifact import EPISODES, Artifact, Parent
from pipeline.artifacts.store import ArtifactStore
from pipeline.dataset.reader import EpisodeDataset


def episodes_parent(artifact: Artifact, dataset: EpisodeDataset, episodes: int) -> Parent:
    """A dataset's first episodes as a parent: growth changes neither prefix nor digest, so it orphans nothing."""
    return artifact.as_parent(dataset.digest(episodes), episodes)


def content_digest(artifact: Artifact) -> str:
    """The digest of an artifact's content, or of as many of a dataset's episodes as `artifact.episodes` says.

    Empty where it has fewer.
    """
    if artifact.manifest.kind != EPISODES:
        return artifact.manifest.digest
    if artifact.episodes and artifact.episodes > artifact.manifest.counts["episodes"]:
        return ""
    return EpisodeDataset.of(artifact).digest()


def of_leading_episodes(workspace: ArtifactStore, dataset: Artifact, kind: str) -> list[Artifact]:
    """Finished artifacts of one kind that were made of the first episodes of this very dataset, by version.

    However many: `dataset.episodes` limits nothing here.
    """
    whole = EpisodeDataset.of(dataclasses.replace(dataset, episodes=None))
    found = []
    for artifact in workspace.of_kind(dataset.domain, dataset.task, kind):
        parent = artifact.parent(EPISODES)
        count = parent.episodes or 0
        same = parent.version == dataset.manifest.version and count <= len(whole)
        if same and parent.digest == whole.digest(count):
            found.append(artifact)
    return found


def covering(workspace: ArtifactStore, dataset: Artifact, kind: str) -> Artifact | None:
    """Of what was made of the first episodes of a dataset, the least that covers all asked for, else the most."""
    asked = dataset.episodes or dataset.manifest.counts["episodes"]
    counts: dict[int, Artifact] = {}
    for artifact in of_leading_episodes(workspace, dataset, kind):
        counts.setdefault(artifact.parent(EPISODES).episodes or 0, artifact)
    enough = [count for count in counts if count >= asked]
    return counts[min(enough, default=max(counts))] if counts else None
