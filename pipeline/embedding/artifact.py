"""Embeddings as an artifact: their identity, and earlier ones whose rows can be taken over."""

from __future__ import annotations

import dataclasses

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.dataset.prefix import episodes_parent, of_leading_episodes
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.embedding.states import picture_shape

EMBEDDINGS = "embeddings"
EMBEDDINGS_FORMAT = 1


def embeddings_spec(
    domain: Domain, task: str, workspace: Workspace, dataset: str, episodes: int | None, embedding: Embedding
) -> Spec:
    """What `run` would make, for the stages that read it. Loads no network; reads the weights' file for its digest."""
    found = workspace.dataset(domain.name, task, dataset, episodes)
    return spec_of(domain, task, found, EpisodeDataset.of(found), as_recorded(embedding, found))


def as_recorded(embedding: Embedding, episodes: Artifact) -> Embedding:
    """The embedding with the padding that the dataset's own stacks had, where its source recorded that (JAT)."""
    stack = episodes.manifest.parameters.get("source", {}).get("frame_stack", {})
    padding = {"repeat": "first", "zeros": "zero"}.get(stack.get("padding", ""))
    return dataclasses.replace(embedding, padding=padding) if padding else embedding


def spec_of(domain: Domain, task: str, found: Artifact, reader: EpisodeDataset, embedding: Embedding) -> Spec:
    """The identity of the embeddings of a dataset's episodes. Raises InvalidInput where these show no pictures."""
    picture_shape(reader, f"{domain.name}/{task}")
    parents = (episodes_parent(found, reader, len(reader)),)
    return Spec(domain.name, task, EMBEDDINGS, EMBEDDINGS_FORMAT, embedding.identity(), parents)


def earlier_embeddings(workspace: Workspace, spec: Spec, found: Artifact) -> list[Artifact]:
    """Embeddings of other episode counts of the same dataset, made in the same way: the one with most states first."""
    fitting = [
        artifact
        for artifact in of_leading_episodes(workspace, found, EMBEDDINGS)
        if artifact.manifest.parameters == dict(spec.parameters) and artifact.manifest.format == spec.format
    ]
    return sorted(fitting, key=lambda each: each.manifest.counts["states"], reverse=True)
