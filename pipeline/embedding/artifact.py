"""Embeddings as an artifact: their identity, and earlier ones whose rows can be taken over."""

from __future__ import annotations

import dataclasses

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.dataset.prefix import episodes_parent, of_leading_episodes
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.embedding.settings import Embedding
from pipeline.embedding.states import picture_shape

EMBEDDINGS = "embeddings"
EMBEDDINGS_FORMAT = 1


def as_recorded(embedding: Embedding, episodes: Artifact) -> Embedding:
    """The embedding with the padding that the dataset's own stacks had, where its source recorded that (JAT)."""
    stack = episodes.manifest.parameters.get("source", {}).get("frame_stack", {})
    padding = {"repeat": "first", "zeros": "zero"}.get(stack.get("padding", ""))
    return dataclasses.replace(embedding, padding=padding) if padding else embedding


def embeddings_spec(found: Artifact, reader: EpisodeDataset, episodes: int, embedding: Embedding) -> Spec:
    """The identity of the embeddings of a dataset's first `episodes` episodes, for an embedding `as_recorded`.

    Loads no network; reads the weights' file for its digest. Raises InvalidInput for observations that are no pictures.
    """
    picture_shape(reader, found.manifest.task)
    parents = (episodes_parent(found, reader, episodes),)
    return Spec(found.domain, found.task, EMBEDDINGS, EMBEDDINGS_FORMAT, embedding.identity(), parents)


def earlier_embeddings(workspace: Workspace, spec: Spec, found: Artifact) -> list[Artifact]:
    """Embeddings of the same dataset, made in the same way for other numbers of episodes; those of the most states
    first.
    """
    fitting = [
        artifact
        for artifact in of_leading_episodes(workspace, found, EMBEDDINGS)
        if artifact.manifest.parameters == dict(spec.parameters) and artifact.manifest.format == spec.format
    ]
    return sorted(fitting, key=lambda each: each.manifest.counts["states"], reverse=True)
