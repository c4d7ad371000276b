"""Embed: one vector for every state of a dataset of pictures, from a network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.artifact import as_recorded, earlier_embeddings, spec_of
from pipeline.embedding.build import embed
from pipeline.embedding.settings import Embedding
from pipeline.embedding.states import picture_shape
from pipeline.errors import InvalidInput

if TYPE_CHECKING:
    pass
from pipeline.regent.settings import RetrievalSettings, choose_queries

log = logging.getLogger(__name__)


def foresee(*, embedding: Embedding | None) -> None:
    """Raises InvalidInput where the embedding cannot be identified: weights that are not set or not there."""
    if embedding is not None:
        embedding.identity()


FACTS = StageFacts(foresee=foresee)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    embedding: Embedding | None,
    retrieval: RetrievalSettings | None = None,
    force: bool,
) -> Artifact:
    """The array `embeddings` (N, d) float32: one row per flat state of the first `episodes` episodes, in order.

    With `retrieval`, of those episodes only that REGENT's queries and pool are of.

    A row depends on its own input, the weights, the preparation and the numerics alone; so batch size, duplicates,
    kills and growth change no byte. Rows of fewer or more episodes of the same dataset are taken over.

    Raises InvalidInput for observations that are no pictures, missing or wrong weights, and a device that is not there.
    """
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
    spec = spec_of(domain, task, found, reader, embedding)
    earlier = [] if force else earlier_embeddings(workspace, spec, found)
    return workspace.build(spec, lambda draft: embed(draft, embedding, reader, spec, earlier), force)
