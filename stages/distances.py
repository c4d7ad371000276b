"""Measure: distances from each query's first neighbour to its 19 neighbours and to itself, and their statistics."""

from __future__ import annotations

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import ARRAYS, Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.machine.files import write_json
from pipeline.machine.progress import progress
from pipeline.regent.bins import STATISTICS
from pipeline.regent.chain import distances_spec
from pipeline.regent.context import CONTEXT, RETRIEVED
from pipeline.regent.distances import context_distances
from pipeline.regent.recipe import Inputs, regent_inputs
from pipeline.regent.settings import RetrievalSettings
from pipeline.regent.statistics import distance_statistics
from pipeline.search.metric import UNITS
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import blocks

BLOCK = 16_384

FACTS = StageFacts()


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    retrieval: RetrievalSettings,
    embedding: Embedding | None = None,
    force: bool,
) -> Artifact:
    """Array `distances` (N, 20) float32 in observation units: column j is the distance from the first neighbour to
    neighbour j, column 19 to the query. `dist_stats.json` holds mean, std, max and exact percentiles of all entries.
    """
    inputs = regent_inputs(domain, task, workspace, dataset, episodes, retrieval, embedding)
    found = workspace.require(inputs.retrieval, "retrieval")
    return workspace.build(distances_spec(inputs, found), lambda draft: _measure(inputs, found, draft), force)


def _measure(inputs: Inputs, found: Artifact, draft: Draft) -> None:
    choice, count = inputs.choice, inputs.choice.queries
    neighbours = open_arrays(found.arrays)["neighbours"]
    writer = draft.array("distances", (count, CONTEXT), "float32", UNITS[inputs.metric])
    pool = inputs.vectors(choice.pooled)
    with progress("distances", inputs.retrieval.label, "states", count, writer.done) as advance:
        for start in range(writer.done, count, BLOCK):
            stop = min(start + BLOCK, count)
            queries = inputs.vectors(choice.states[start:stop])
            places = np.searchsorted(choice.pooled, neighbours[start:stop][:, :RETRIEVED])
            writer.append(context_distances(pool, queries, places, inputs.metric))
            advance(stop - start)
    folder = draft.path / ARRAYS
    statistics = distance_statistics(lambda: blocks(open_arrays(folder)["distances"]))
    write_json(draft.path / STATISTICS, {"metric": inputs.metric, "n_states": count, **statistics.to_json()})
    draft.counts |= {"states": count, "p95": statistics.p95}
