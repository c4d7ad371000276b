"""What is wrong with the episodes of a dataset: content against digests, counts against the manifest."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset


def wrong_episodes(artifact: Artifact) -> Iterator[str]:
    """Episodes whose content does not give their digest, and counts that do not add up."""
    dataset = EpisodeDataset(artifact.path, artifact.manifest.parts)
    digests, returns = dataset.per_episode("digest"), dataset.per_episode("return")
    for number, episode in enumerate(dataset):
        if episode.digest() != digests[number].tobytes():
            yield f"episode {number} does not match its digest"
        if not math.isclose(episode.total_reward, returns[number], rel_tol=0, abs_tol=0):
            yield f"episode {number} has return {episode.total_reward}, stored is {returns[number]}"
    if dataset.digest() != artifact.manifest.digest:
        yield "the episodes' digests do not give the manifest's digest"
    for name, value in {"episodes": len(dataset), "states": dataset.states}.items():
        if artifact.manifest.counts[name] != value:
            yield f"the manifest counts {artifact.manifest.counts[name]} {name}, the parts hold {value}"
