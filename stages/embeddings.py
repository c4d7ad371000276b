"""Embed: one vector for every state of a dataset of pictures, from a network."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.dataset.reader import EpisodeDataset
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.embedding.spill import Spill
from pipeline.embedding.states import StateInputs, picture_shape
from pipeline.errors import InvalidInput
from pipeline.machine.progress import Advance, progress
from pipeline.storage.contract import open_arrays
from pipeline.artifacts.workspace import Draft, Workspace, episodes_parent
from pipeline.storage.resumable import ArrayWriter

if TYPE_CHECKING:
    from pipeline.embedding.engine import Engine
from pipeline.regent.settings import RetrievalSettings, choose_queries

EMBEDDINGS = "embeddings"
EMBEDDINGS_FORMAT = 1
SPILL = "spill"
COPIED_ROWS = 8192

log = logging.getLogger(__name__)


@beartype
def run(
    *,
    domain: Domain,
    task: str | None,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    embedding: Embedding | None,
    retrieval: RetrievalSettings | None = None,
    force: bool,
) -> Artifact | None:
    """The array `embeddings` (N, d) float32: one row per flat state of the first `episodes` episodes, in order.

    With `retrieval`, of those episodes only that REGENT's queries and pool are of.

    A row depends on its own input, the weights, the preparation and the numerics alone; so batch size, duplicates,
    kills and growth change no byte. Rows of fewer or more episodes of the same dataset are taken over.

    Without a task it only looks whether the embedding can be identified, before there are episodes, and gives None.

    Raises InvalidInput for observations that are no pictures, missing or wrong weights, and a device that is not there.
    """
    if task is None:
        if embedding is not None:
            embedding.identity()
        return None
    found = workspace.dataset(domain.name, task, dataset, episodes)
    reader = EpisodeDataset.of(found)
    if embedding is None:
        picture_shape(reader, f"{domain.name}/{task}")  # vectors need no network
        raise InvalidInput("Which network? For example embedding=resnet18_regent embedding.weights=FILE (or random)")
    if retrieval is not None:
        picture_shape(reader, f"{domain.name}/{task}")
        used = choose_queries(domain, task, reader, retrieval).choice.episodes
        found = workspace.dataset(domain.name, task, dataset, used)
        reader = EpisodeDataset.of(found)
    recorded = as_recorded(embedding, found)
    if recorded != embedding:
        log.info("embedding.padding=%s, as the stacks of the source had it", recorded.padding)
    embedding = recorded
    spec = _spec(domain, task, found, reader, embedding)
    earlier = [] if force else _earlier(workspace, spec, found)
    return workspace.build(spec, lambda draft: _embed(draft, embedding, reader, spec, earlier), force)


def embeddings_spec(
    domain: Domain, task: str, workspace: Workspace, dataset: str, episodes: int | None, embedding: Embedding
) -> Spec:
    """What `run` would make, for the stages that read it. Loads no network; reads the weights' file for its digest."""
    found = workspace.dataset(domain.name, task, dataset, episodes)
    return _spec(domain, task, found, EpisodeDataset.of(found), as_recorded(embedding, found))


def as_recorded(embedding: Embedding, episodes: Artifact) -> Embedding:
    """The embedding with the padding that the dataset's own stacks had, where its source recorded that (JAT)."""
    stack = episodes.manifest.parameters.get("source", {}).get("frame_stack", {})
    padding = {"repeat": "first", "zeros": "zero"}.get(stack.get("padding", ""))
    return dataclasses.replace(embedding, padding=padding) if padding else embedding


def _spec(domain: Domain, task: str, found: Artifact, reader: EpisodeDataset, embedding: Embedding) -> Spec:
    picture_shape(reader, f"{domain.name}/{task}")
    parents = (episodes_parent(found, reader, len(reader)),)
    return Spec(domain.name, task, EMBEDDINGS, EMBEDDINGS_FORMAT, embedding.identity(), parents)


def _embed(draft: Draft, embedding: Embedding, reader: EpisodeDataset, spec: Spec, earlier: list[Artifact]) -> None:
    writer = draft.array(EMBEDDINGS, (reader.states, embedding.dimensions), np.float32, f"features, {embedding.label}")
    spill = Spill(draft.path / SPILL)
    with progress(EMBEDDINGS, spec.label, "states", reader.states, writer.done) as advance:
        for rows in _known(writer, spill, earlier):
            writer.append(rows)
            advance(len(rows))
        if writer.appended < reader.states:
            draft.warnings += _compute(writer, spill, embedding, reader, spec.label, advance)
    shutil.rmtree(draft.path / SPILL)
    draft.counts |= {"episodes": len(reader), "states": reader.states}


def _known(writer: ArrayWriter, spill: Spill, earlier: list[Artifact]) -> Iterator[np.ndarray]:
    """Rows from the array's end on that were made before: for another number of episodes, or by a killed run."""
    total, width = writer.shape
    for artifact in earlier:
        array = open_arrays(artifact.arrays)[EMBEDDINGS]
        stop = min(total, array.shape[0])
        for start in range(writer.appended, stop, COPIED_ROWS):
            yield array[start : min(start + COPIED_ROWS, stop)]
    while (rows := spill.load(writer.appended, width)) is not None:
        yield rows


def _compute(
    writer: ArrayWriter, spill: Spill, embedding: Embedding, reader: EpisodeDataset, label: str, advance: Advance
) -> list[str]:
    """Append the rows that are still missing; returns what their reader should know."""
    from pipeline.embedding.engine import Engine  # here, because it takes torch, which a finished artifact needs not

    inputs = StateInputs(reader, embedding.frames, embedding.padding, label)
    engine = Engine(embedding, inputs.shape)
    missing = reader.states - writer.appended
    new = append_vectors(engine, inputs, embedding, writer, spill, advance)
    log.info("embedded %s different inputs of %s states", f"{new:,}", f"{missing:,}")
    return engine.notes


def append_vectors(
    engine: Engine, inputs: StateInputs, embedding: Embedding, writer: ArrayWriter, spill: Spill, advance: Advance
) -> int:
    """Append the vectors of all states from the array's end on; returns how many inputs were new to the network."""
    from pipeline.embedding.flow import embedded

    new = 0
    for rows, fresh in embedded(engine, inputs, writer.appended, writer.shape[0], embedding.batch):
        if not np.isfinite(rows).all():
            state = writer.appended + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise InvalidInput(
                f"The vector of state {state} of {inputs.label} is not finite: the weights {embedding.weights} do not "
                f"suit this network, or embedding.dtype={embedding.dtype} is too narrow for it."
            )
        spill.save(writer.appended, rows)
        writer.append(rows)
        spill.drop(writer.done)
        new += fresh
        advance(len(rows))
    return new


def _earlier(workspace: Workspace, spec: Spec, found: Artifact) -> list[Artifact]:
    """Embeddings of other episode counts of the same dataset, made in the same way: the one with most states first."""
    fitting = [
        artifact
        for artifact in workspace.of_leading_episodes(found, EMBEDDINGS)
        if artifact.manifest.parameters == dict(spec.parameters) and artifact.manifest.format == spec.format
    ]
    return sorted(fitting, key=lambda each: each.manifest.counts["states"], reverse=True)
