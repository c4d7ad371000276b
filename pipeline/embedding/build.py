"""Making embeddings: rows known before are copied, the others computed, in order, resumable."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.draft import Draft
from pipeline.dataset.reader import EpisodeDataset
from pipeline.embedding.artifact import EMBEDDINGS
from pipeline.embedding.engine import Engine
from pipeline.embedding.settings import Embedding
from pipeline.embedding.spill import Spill
from pipeline.embedding.states import StateInputs
from pipeline.errors import InvalidInput
from pipeline.machine.progress import Advance, progress
from pipeline.storage.resumable import ArrayWriter

log = logging.getLogger(__name__)

SPILL = "spill"
COPIED_ROWS = 8192


def embed(draft: Draft, embedding: Embedding, reader: EpisodeDataset, spec: Spec, earlier: list[Artifact]) -> None:
    """Fill the draft: known rows are copied, the others computed."""
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


def _known(writer: ArrayWriter, spill: Spill, earlier: list[Artifact]) -> Iterator[Float32[np.ndarray, "n d"]]:
    """Rows from the array's end on that were made before: for another number of episodes, or by a killed run."""
    total, width = writer.shape
    for artifact in earlier:
        array = artifact.open()[EMBEDDINGS]
        stop = min(total, array.shape[0])
        for start in range(writer.appended, stop, COPIED_ROWS):
            yield array[start : min(start + COPIED_ROWS, stop)]
    while (rows := spill.load(writer.appended, width)) is not None:
        yield rows


def _compute(
    writer: ArrayWriter, spill: Spill, embedding: Embedding, reader: EpisodeDataset, label: str, advance: Advance
) -> list[str]:
    """Append the rows that are still missing; returns what their reader should know."""
    from pipeline.embedding.engine import Engine  # imported here: a finished artifact needs no torch

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
