"""Measure: distances from each query's first neighbour to its 19 neighbours and to itself, and their statistics."""

from __future__ import annotations

from beartype import beartype

from pipeline.artifact import ARRAYS, Artifact, Spec
from pipeline.context import CONTEXT
from pipeline.distances import context_distances
from pipeline.domain import Domain
from pipeline.files import write_json
from pipeline.progress import progress
from pipeline.statistics import distance_statistics
from pipeline.storage.arrays import blocks, open_arrays
from pipeline.workspace import Draft, Workspace
from stages.inputs import DISTANCES_FORMAT, Inputs, RetrievalSettings, regent_inputs, vectors

STATISTICS = "dist_stats.json"
BLOCK = 16_384


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    retrieval: RetrievalSettings,
    force: bool,
) -> Artifact:
    """Array `distances` (N, 20) float32 in observation units: column j is the distance from the first neighbour to
    neighbour j, column 19 to the query. `dist_stats.json` holds mean, std, max and exact percentiles of all entries.
    """
    inputs = regent_inputs(domain, task, workspace, dataset, episodes, retrieval)
    found = workspace.require(inputs.retrieval, "retrieval")
    return workspace.build(distances_spec(inputs, found), lambda draft: _measure(inputs, found, draft), force)


def distances_spec(inputs: Inputs, neighbours: Artifact) -> Spec:
    """The identity of the distances that belong to these neighbours."""
    metric = inputs.retrieval.parameters["metric"]
    return inputs.child("distances", DISTANCES_FORMAT, {"metric": metric}, neighbours)


def _measure(inputs: Inputs, found: Artifact, draft: Draft) -> None:
    count = inputs.choice.queries
    neighbours = open_arrays(found.arrays)["neighbours"]
    writer = draft.array("distances", (count, CONTEXT), "float32", "observation units, L2")
    pool = vectors(inputs.dataset, 0, inputs.choice.pool)
    with progress("distances", inputs.retrieval.label, "states", count, writer.done) as advance:
        for start in range(writer.done, count, BLOCK):
            stop = min(start + BLOCK, count)
            queries = vectors(inputs.dataset, start, stop)
            writer.append(context_distances(pool, queries, neighbours[start:stop]))
            advance(stop - start)
    folder = draft.path / ARRAYS
    statistics = distance_statistics(lambda: blocks(open_arrays(folder)["distances"]))
    write_json(draft.path / STATISTICS, {"metric": "l2", "n_states": count, **statistics.to_json()})
    draft.counts |= {"states": count, "p95": statistics.p95}
