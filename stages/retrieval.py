"""Retrieve: for every query state, the nearest states of other episodes in the pool, exactly."""

from __future__ import annotations

import numpy as np
from beartype import beartype
from jaxtyping import Int

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.workspace import Workspace
from pipeline.machine.files import write_json
from pipeline.machine.progress import progress
from pipeline.regent.chain import Chain
from pipeline.regent.limits import check_vectors
from pipeline.regent.pools import SINGLE_EPISODE, QueryPlan
from pipeline.regent.recipe import Recipe
from pipeline.regent.retrieve import PooledSearch, check_candidates, retrieval_warnings, search_device

MISSIONS = "missions.json"

FACTS = StageFacts()


@beartype
def run(*, recipe: Recipe, workspace: Workspace, force: bool) -> Artifact:
    """Arrays `neighbours` (N, k) int32, flat state numbers in ascending order of distance, ties by pool position; and
    `pool` (P,) int32, the flat states that may be retrieved.

    Where queries retrieve inside their own mission, `pool` holds one pool after the other: `pool_ends` (M,) says where
    each ends, `missions.json` whose it is, `queries` (N,) which flat states retrieve and `query_pool` (N,) from where.

    A query with fewer than k candidates repeats its last candidate; such queries are counted and warned of. Raises
    InvalidInput for a query with none, and for numbers that float32 cannot hold.
    """
    chain = Chain.of(recipe, workspace)
    candidates = chain.plan.candidates(chain.dataset.state_ends)
    check_candidates(chain, candidates)
    spec = chain.spec("retrieval")
    if force or not workspace.get(spec):
        check_vectors(chain)
    return workspace.build(spec, lambda draft: _search(chain, candidates, draft), force)


def _search(chain: Chain, candidates: Int[np.ndarray, "queries"], draft: Draft) -> None:
    plan, neighbours = chain.plan, chain.recipe.neighbours
    _write_pools(plan, draft)
    writer = draft.array("neighbours", (plan.queries, neighbours), np.int32, "flat state")
    if writer.done < plan.queries:
        search = PooledSearch(chain, search_device(chain.recipe.retrieval.device))
        with progress("retrieval", chain.label, "states", plan.queries, writer.done) as advance:
            for start in range(writer.done, plan.queries, search.block_size):
                stop = min(start + search.block_size, plan.queries)
                writer.append(search.block(start, stop))
                advance(stop - start)
    short = int((candidates < neighbours).sum())
    draft.counts |= {
        "states": plan.queries,
        "rows": len(plan.rows),
        "pool_states": plan.pool,
        "pool_episodes": plan.demos,
        "short_queries": short,
        **({"missions": len(plan.pools)} if plan.by_mission else {}),
    }
    draft.facts |= {SINGLE_EPISODE: plan.single}
    draft.warnings += retrieval_warnings(chain, short)


def _write_pools(plan: QueryPlan, draft: Draft) -> None:
    """`pool`, and where there are several: `queries`, `query_pool` and `pool_ends`."""
    arrays = {"pool": (np.concatenate([pool.states for pool in plan.pools]), "flat state")}
    if plan.by_mission:
        ends = np.cumsum([len(pool.states) for pool in plan.pools])
        arrays |= {"pool_ends": (ends, "pool state"), "queries": (plan.states, "flat state")}
        arrays["query_pool"] = (plan.owner, "pool")
        write_json(draft.path / MISSIONS, [pool.mission for pool in plan.pools])
    for name, (values, unit) in arrays.items():
        writer = draft.array(name, values.shape, np.int32, unit)
        writer.append(values[writer.done :].astype(np.int32))
