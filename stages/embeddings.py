"""Embed: one vector for every state of a dataset of pictures, from a network."""

from __future__ import annotations

import dataclasses
import logging

from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.campaign.stage import StageFacts
from pipeline.command import again
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.embedding.artifact import earlier_embeddings, embeddings_spec
from pipeline.embedding.build import embed
from pipeline.embedding.states import picture_shape
from pipeline.errors import InvalidInput
from pipeline.regent.chain import Chain
from pipeline.regent.recipe import Recipe

log = logging.getLogger(__name__)


def foresee(*, recipe: Recipe) -> None:
    """Raises InvalidInput where the embedding cannot be identified: weights that are not set or not there."""
    if recipe.embedding is not None:
        recipe.embedding.identity()


FACTS = StageFacts(foresee=foresee)


@beartype
def run(*, recipe: Recipe, all_states: bool, workspace: Workspace, force: bool) -> Artifact:
    """The array `embeddings` (N, d) float32: one row per flat state, in order, of the leading episodes that REGENT's
    queries and pool are of; with `all_states`, of all the recipe's episodes.

    A row depends on its own input, the weights, the preparation and the numerics alone; so batch size, duplicates,
    kills and growth change no byte. Rows of fewer or more episodes of the same dataset are taken over.

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
    return workspace.build(spec, lambda draft: embed(draft, embedding, reader, spec, earlier), force)
