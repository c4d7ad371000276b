"""Measure: distances from each query's first neighbour to its 19 neighbours and to itself, and their statistics."""

from __future__ import annotations

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import ARRAYS, Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.workspace import Workspace
from pipeline.machine.files import write_json
from pipeline.machine.progress import progress
from pipeline.regent.bins import STATISTICS
from pipeline.regent.chain import Chain
from pipeline.regent.context import CONTEXT, RETRIEVED
from pipeline.regent.distances import context_distances
from pipeline.regent.recipe import Recipe
from pipeline.regent.statistics import distance_statistics
from pipeline.search.metric import UNITS
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import blocks

BLOCK = 16_384

FACTS = StageFacts()


@beartype
def run(*, recipe: Recipe, workspace: Workspace, force: bool) -> Artifact:
    """Array `distances` (N, 20) float32 in observation units: column j is the distance from the first neighbour to
    neighbour j, column 19 to the query. `dist_stats.json` holds mean, std, max and exact percentiles of all entries.
    """
    chain = Chain.of(recipe, workspace)
    return workspace.build(chain.spec("distances"), lambda draft: _measure(chain, draft), force)


def _measure(chain: Chain, draft: Draft) -> None:
    plan, count, metric = chain.plan, chain.plan.queries, chain.recipe.retrieval.metric
    neighbours = chain.require("retrieval").open()["neighbours"]
    writer = draft.array("distances", (count, CONTEXT), "float32", UNITS[metric])
    pool = chain.vectors(plan.pooled)
    with progress("distances", chain.label, "states", count, writer.done) as advance:
        for start in range(writer.done, count, BLOCK):
            stop = min(start + BLOCK, count)
            queries = chain.vectors(plan.states[start:stop])
            places = np.searchsorted(plan.pooled, neighbours[start:stop][:, :RETRIEVED])
            writer.append(context_distances(pool, queries, places, metric))
            advance(stop - start)
    folder = draft.path / ARRAYS
    statistics = distance_statistics(lambda: blocks(open_arrays(folder)["distances"]))
    write_json(draft.path / STATISTICS, {"metric": metric, "n_states": count, **statistics.to_json()})
    draft.counts |= {"states": count, "p95": statistics.p95}
