"""Retrieve: for every query state, the nearest states of other episodes in the pool, exactly."""

from __future__ import annotations

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.machine.files import write_json
from pipeline.machine.progress import progress
from pipeline.regent.pools import QueryPlan
from pipeline.regent.recipe import Inputs, regent_inputs
from pipeline.regent.retrieve import PooledSearch, check_candidates, retrieval_warnings, search_device
from pipeline.regent.settings import RetrievalSettings

MISSIONS = "missions.json"


QUERY_BLOCK = 16_384
"""Queries searched at once; changes neither order nor content."""

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
    """Arrays `neighbours` (N, k) int32, flat state numbers in ascending order of distance, ties by pool position; and
    `pool` (P,) int32, the flat states that may be retrieved.

    Where queries retrieve inside their own mission, `pool` holds one pool after the other: `pool_ends` (M,) says where
    each ends, `missions.json` whose it is, `queries` (N,) which flat states retrieve and `query_pool` (N,) from where.

    A query with fewer than k candidates repeats its last candidate; such queries are counted and warned of. Raises
    InvalidInput for a query with none.
    """
    inputs = regent_inputs(domain, task, workspace, dataset, episodes, retrieval, embedding)
    candidates = inputs.choice.candidates(inputs.dataset.state_ends)
    check_candidates(inputs, candidates)
    return workspace.build(
        inputs.retrieval, lambda draft: _search(inputs, candidates, search_device(retrieval.device), draft), force
    )


def _search(inputs: Inputs, candidates: np.ndarray, device: str, draft: Draft) -> None:
    choice = inputs.choice
    _write_pools(choice, draft)
    writer = draft.array("neighbours", (choice.queries, inputs.neighbours), np.int32, "flat state")
    if writer.done < choice.queries:
        search = PooledSearch(choice, inputs, device)
        with progress("retrieval", inputs.retrieval.label, "states", choice.queries, writer.done) as advance:
            for start in range(writer.done, choice.queries, QUERY_BLOCK):
                stop = min(start + QUERY_BLOCK, choice.queries)
                writer.append(search.block(start, stop))
                advance(stop - start)
    short = int((candidates < inputs.neighbours).sum())
    draft.counts |= {
        "states": choice.queries,
        "rows": len(choice.rows),
        "pool_states": choice.pool,
        "pool_episodes": choice.demos,
        "short_queries": short,
    }
    if inputs.by_mission:
        draft.counts["missions"] = len(choice.pools)
    draft.warnings += retrieval_warnings(inputs, short)


def _write_pools(choice: QueryPlan, draft: Draft) -> None:
    """`pool`, and where there are several: `queries`, `query_pool` and `pool_ends`."""
    arrays = {"pool": (np.concatenate([pool.states for pool in choice.pools]), "flat state")}
    if choice.pools[0].mission:
        ends = np.cumsum([len(pool.states) for pool in choice.pools])
        arrays |= {"pool_ends": (ends, "pool state"), "queries": (choice.states, "flat state")}
        arrays["query_pool"] = (choice.owner, "pool")
        write_json(draft.path / MISSIONS, [pool.mission for pool in choice.pools])
    for name, (values, unit) in arrays.items():
        writer = draft.array(name, values.shape, np.int32, unit)
        writer.append(values[writer.done :].astype(np.int32))
