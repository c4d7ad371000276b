"""Making embeddings: rows known before are copied, the others computed, in order, resumable; or some blocks of them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.draft import Draft
from pipeline.artifacts.pieces import SPILL, PiecesFolder, notes_of
from pipeline.dataset.reader import EpisodeDataset
from pipeline.embedding.artifact import EMBEDDINGS
from pipeline.embedding.settings import Embedding
from pipeline.embedding.spill import Spill
from pipeline.embedding.states import StateInputs
from pipeline.errors import InvalidInput
from pipeline.machine.progress import Advance, progress
from pipeline.storage.resumable import ArrayWriter

if TYPE_CHECKING:
    from pipeline.embedding.engine import Engine
    from pipeline.embedding.flow import VectorBlock

log = logging.getLogger(__name__)

COPIED_ROWS = 8192

BLOCK_STATES = 10_000
"""States of a block, which a job can make apart from the others: `stage.embeddings.shards=0-9` is the first 100,000."""


def embed(
    draft: Draft, embedding: Embedding, reader: EpisodeDataset, spec: Spec, earlier: list[Artifact], waiting: Path
) -> None:
    """Fill the draft: known rows are copied, the others computed.

    `waiting` is the folder where rows wait: the draft's, or that of pieces which other jobs have made.
    """
    writer = draft.array(EMBEDDINGS, (reader.states, embedding.dimensions), np.float32, f"features, {embedding.label}")
    spill = Spill(waiting / SPILL)
    network = _Network(embedding, reader, spec.label)
    with progress(EMBEDDINGS, spec.label, "states", reader.states, writer.done) as advance:
        for rows in _of_earlier(writer, earlier):
            writer.append(rows)
            advance(len(rows))
        while (start := writer.appended) < reader.states:
            if (kept := spill.load(start, embedding.dimensions)) is not None:
                writer.append(kept)
                spill.drop(writer.done)
                advance(len(kept))
            else:
                stop = spill.following(start) or reader.states
                network.ran(append_vectors(*network.made, embedding, writer, spill, advance, stop), stop - start)
    network.report()
    draft.warnings += dict.fromkeys([*notes_of(waiting)[0], *network.notes])
    if waiting == draft.path:
        shutil.rmtree(draft.path / SPILL)
    draft.counts |= {"episodes": len(reader), "states": reader.states}


def embed_blocks(
    pieces: PiecesFolder[int], embedding: Embedding, reader: EpisodeDataset, label: str
) -> tuple[Sequence[int], Sequence[int]]:
    """Make blocks of rows for the job that joins them. `pieces.before` rows from the first on are there otherwise.

    Returns the numbers of all blocks, and of those that are there.
    """
    spill, network = Spill(pieces.spill), _Network(embedding, reader, label)
    own = [number for number in pieces.numbers if not _is_there(number, spill, reader.states, pieces.before)]
    ends = [_rows_of(number, reader.states, pieces.before) for number in own]
    with progress(EMBEDDINGS, label, "states", sum(stop - start for start, stop in ends)) as advance:
        for start, stop in ends:
            _make_block(start, stop, spill, network, embedding, advance)
            pieces.note(network.notes)
    network.report()
    every = range(block_count(reader.states))
    return every, [number for number in every if _is_there(number, spill, reader.states, pieces.before)]


def block_count(states: int) -> int:
    """How many blocks hold so many states."""
    return -(-states // BLOCK_STATES)


def _rows_of(number: int, states: int, before: int) -> tuple[int, int]:
    """The rows of a block that are not among the first `before`."""
    return max(number * BLOCK_STATES, before), min((number + 1) * BLOCK_STATES, states)


def _is_there(number: int, spill: Spill, states: int, before: int) -> bool:
    start, stop = _rows_of(number, states, before)
    return stop <= start or spill.holds(start, stop)


def _make_block(start: int, stop: int, spill: Spill, network: _Network, embedding: Embedding, advance: Advance) -> None:
    """Keep the rows [start, stop) as one file; of a killed job's batches those are taken over that are there."""
    rows = np.empty((stop - start, embedding.dimensions), np.float32)
    at = start
    while at < stop:
        if (kept := spill.load(at, embedding.dimensions)) is not None:
            kept = kept[: stop - at]
            rows[at - start : at - start + len(kept)] = kept
            at += len(kept)
            advance(len(kept))
            continue
        end = min(spill.following(at) or stop, stop)
        for made, new in _finite_vectors(*network.made, embedding, at, end):
            spill.save(at, made)
            network.ran(new, len(made))
            rows[at - start : at - start + len(made)] = made
            at += len(made)
            advance(len(made))
    spill.save(start, rows)
    spill.drop_inside(start, stop)


def _of_earlier(writer: ArrayWriter, earlier: list[Artifact]) -> Iterator[Float32[np.ndarray, "n d"]]:
    """Rows from the array's end on that were made for another number of episodes."""
    for artifact in earlier:
        array = artifact.open()[EMBEDDINGS]
        stop = min(writer.shape[0], array.shape[0])
        for start in range(writer.appended, stop, COPIED_ROWS):
            yield array[start : min(start + COPIED_ROWS, stop)]


class _Network:
    """The network, loaded when the first row is missing, and what it has done.

    Attributes:
        notes: what a reader of its vectors should know.
    """

    def __init__(self, embedding: Embedding, reader: EpisodeDataset, label: str) -> None:
        self._embedding, self._reader, self._label = embedding, reader, label
        self._inputs, self._states = 0, 0
        self.notes: list[str] = []

    @cached_property
    def made(self) -> tuple[Engine, StateInputs]:
        """The network and its inputs."""
        from pipeline.embedding.engine import Engine  # imported here: a finished artifact needs no torch

        inputs = StateInputs(self._reader, self._embedding.frames, self._embedding.padding, self._label)
        engine = Engine(self._embedding, inputs.shape)
        self.notes = engine.notes
        return engine, inputs

    def ran(self, inputs: int, states: int) -> None:
        """It ran for so many different inputs of so many states."""
        self._inputs += inputs
        self._states += states

    def report(self) -> None:
        """Say for how many inputs it ran, where it did."""
        if self._states:
            log.info("embedded %s different inputs of %s states", f"{self._inputs:,}", f"{self._states:,}")


def append_vectors(
    engine: Engine,
    inputs: StateInputs,
    embedding: Embedding,
    writer: ArrayWriter,
    spill: Spill,
    advance: Advance,
    stop: int | None = None,
) -> int:
    """Append the vectors of the states from the array's end on, to `stop` or all; returns how many inputs were new to
    the network.
    """
    new = 0
    for rows, fresh in _finite_vectors(engine, inputs, embedding, writer.appended, stop or writer.shape[0]):
        spill.save(writer.appended, rows)
        writer.append(rows)
        spill.drop(writer.done)
        new += fresh
        advance(len(rows))
    return new


def _finite_vectors(
    engine: Engine, inputs: StateInputs, embedding: Embedding, start: int, stop: int
) -> Iterator[VectorBlock]:
    """The vectors of the states [start, stop). Raises InvalidInput for one that is not finite."""
    from pipeline.embedding.flow import embedded

    for rows, fresh in embedded(engine, inputs, start, stop, embedding.batch):
        if not np.isfinite(rows).all():
            state = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise InvalidInput(
                f"The vector of state {state} of {inputs.label} is not finite: the weights {embedding.weights} do not "
                f"suit this network, or embedding.dtype={embedding.dtype} is too narrow for it."
            )
        start += len(rows)
        yield rows, fresh
