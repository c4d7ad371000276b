"""Embed: one vector for every state of a dataset of pictures, from a network."""

from __future__ import annotations

import dataclasses
import logging

from beartype import beartype

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.claim import DraftFolder
from pipeline.artifacts.draft import Draft
from pipeline.artifacts.pieces import (
    join_pieces,
    making_pieces,
    notes_of,
    pieces_line,
    remove_pieces,
    shard_numbers,
    shards_word,
)
from pipeline.campaign.stage import PiecesMade, StageFacts
from pipeline.command import again
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.embedding.artifact import EMBEDDINGS, earlier_embeddings, embeddings_spec
from pipeline.embedding.build import BLOCK_STATES, block_count, embed, embed_blocks
from pipeline.embedding.settings import Embedding
from pipeline.embedding.states import picture_shape
from pipeline.errors import InvalidInput
from pipeline.machine.files import read_json
from pipeline.machine.provenance import Stopwatch
from pipeline.regent.chain import Chain
from pipeline.regent.recipe import Recipe
from pipeline.storage.resumable import PROGRESS

log = logging.getLogger(__name__)


BLOCKS = f"blocks of {BLOCK_STATES:,} states"


def foresee(*, recipe: Recipe, shards: str | int | None = None, force: bool = False) -> None:
    """Raises InvalidInput where the embedding cannot be identified: weights that are not set or not there."""
    shard_numbers("embeddings", shards, force)
    if recipe.embedding is not None:
        recipe.embedding.identity()


FACTS = StageFacts(foresee=foresee)


@beartype
def run(
    *, recipe: Recipe, all_states: bool, workspace: Workspace, force: bool, shards: str | int | None = None
) -> Artifact | PiecesMade:
    """The array `embeddings` (N, d) float32: one row per flat state, in order, of the leading episodes that REGENT's
    queries and pool are of; with `all_states`, of all the recipe's episodes.

    A row depends on its own input, the weights, the preparation and the numerics alone; so batch size, duplicates,
    kills and growth change no byte. Rows of fewer or more episodes of the same dataset are taken over. `shards`, such
    as `0-9`, makes only these blocks of `BLOCK_STATES` rows, for a call without it that joins them.

    Raises InvalidInput for observations that are no pictures, missing or wrong weights, and a device that is not there.
    """
    chain = Chain.of(recipe, workspace)
    picture_shape(chain.dataset, chain.label)  # vectors need no network
    if recipe.embedding is None:
        command = again(embedding="resnet18_regent", embedding__weights="FILE")
        raise InvalidInput(f"Which network? With its weights, or random, in the place of FILE: {command}")
    embedding = chain.embedding
    if embedding != recipe.embedding:
        log.info("embedding.padding=%s, as the stacks of the source had it", embedding.padding)
    episodes = len(chain.dataset) if all_states else chain.plan.episodes
    spec = embeddings_spec(chain.episodes, chain.dataset, episodes, embedding)
    earlier = [] if force else earlier_embeddings(workspace, spec, chain.episodes)
    reader = EpisodeDataset.of(dataclasses.replace(chain.episodes, episodes=episodes))
    if (numbers := shard_numbers("embeddings", shards, force)) is not None and not workspace.get(spec):
        return _make_some(workspace, spec, embedding, reader, earlier, numbers)

    stopwatch = Stopwatch()

    def make(draft: Draft) -> None:
        waiting = draft.path if force else join_pieces(draft.path, workspace.folder(spec), spec)
        stopwatch.add(notes_of(waiting)[1])
        embed(draft, embedding, reader, spec, earlier, waiting)

    made = workspace.build(spec, make, force, stopwatch)
    if made.built and not force:
        remove_pieces(made.path)
    return made


def _make_some(
    workspace: Workspace,
    spec: Spec,
    embedding: Embedding,
    reader: EpisodeDataset,
    earlier: list[Artifact],
    numbers: range,
) -> PiecesMade:
    """Make some blocks of rows, and leave them for the job that joins all."""
    last = block_count(reader.states) - 1
    if numbers.stop > last + 1:
        asked = shards_word(numbers.start, numbers.stop - 1)
        nearest = shards_word(min(numbers.start, last), last)
        raise InvalidInput(
            f"stage.embeddings.shards={asked}: the {reader.states:,} states of {spec.label} are {BLOCKS}, of which "
            f"the last is {last}.\nSuch as: {again(stage__embeddings__shards=nearest)}"
        )

    def look(draft: DraftFolder) -> int:
        progress = read_json(draft.path / PROGRESS) if (draft.path / PROGRESS).exists() else {}
        return max([0, progress.get(EMBEDDINGS, 0), *(int(each.manifest.counts["states"]) for each in earlier)])

    with making_pieces(workspace.folder(spec), spec, numbers, "embeddings", look) as pieces:
        wanted, there = embed_blocks(pieces, embedding, reader, spec.label)
    return PiecesMade(pieces_line("embeddings", spec, BLOCKS, wanted, there))
