"""Searching the pools of a task in blocks of queries, on the device that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.regent.chain import Chain
from pipeline.regent.observed import flattening_note
from pipeline.regent.pools import Pool
from pipeline.search.index import ExactIndex
from pipeline.search.pooled import LARGE, PooledIndex, PoolQueries

QUERY_BLOCK = 16_384
"""Queries searched at once; changes neither order nor content."""
POOLED_BLOCK = 1 << 24
"""Numbers in the vectors of the queries searched at once where there are many pools: the more ask a pool together, the
less of the time goes into asking."""
NVIDIA = Path("/dev/nvidiactl")


def search_device(asked: str) -> str:
    """The device of large pools. Looks for a driver first, because torch takes a second to load."""
    if asked != "auto":
        return asked
    if not NVIDIA.exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class PooledSearch:
    """Searches blocks of queries, each in its own pool."""

    def __init__(self, chain: Chain, device: str) -> None:
        self._chain, self._plan, self._device = chain, chain.plan, device
        self._pooled = chain.vectors(chain.plan.pooled)
        self._indexes = PooledIndex(np.array([len(pool.states) for pool in chain.plan.pools]), self._index)

    @property
    def block_size(self) -> int:
        """How many queries a block should have."""
        return max(QUERY_BLOCK, POOLED_BLOCK // self._pooled.shape[1]) if self._plan.by_mission else QUERY_BLOCK

    def block(self, start: int, stop: int) -> Int32[np.ndarray, "queries k"]:
        """The flat states that the queries [start, stop) retrieve, nearest first."""
        plan, ends = self._plan, self._chain.dataset.state_ends
        queries = self._chain.vectors(plan.states[start:stop])
        asked = [
            PoolQueries(number, which - start, plan.excluded(ends, which))
            for number, which in plan.by_pool(start, stop)
        ]
        found = self._indexes.search(queries, self._chain.recipe.neighbours, asked)
        for each in asked:
            found[each.which] = plan.pools[each.pool].states[found[each.which]]
        return found

    def _index(self, number: int, threads: int) -> ExactIndex:
        pool = self._plan.pools[number].states
        whole = len(self._plan.pools) == 1  # then a selection would only be a copy
        keys = self._pooled if whole else self._pooled[np.searchsorted(self._plan.pooled, pool)]
        device = self._device if len(keys) >= LARGE else "cpu"
        return ExactIndex(keys, self._chain.recipe.retrieval.metric, threads, device)


def check_candidates(chain: Chain, candidates: Int[np.ndarray, "queries"]) -> None:
    """Raises InvalidInput where a query has no candidate at all."""
    without = np.flatnonzero(candidates == 0)
    if len(without) == 0:
        return
    plan, query = chain.plan, int(without[0])
    state = int(plan.states[query])
    if plan.single:
        raise InvalidInput(
            f"Retrieval for {chain.label}: state {state} is the whole pool, so it has no candidate. "
            f"{chain.with_two_episodes()}"
        )
    episode = int(np.searchsorted(chain.dataset.state_ends, state, "right"))
    mission = plan.pools[int(plan.owner[query])].mission
    of = f" of the mission {mission!r}" if mission else ""
    raise InvalidInput(
        f"Retrieval for {chain.label}: episode {episode} is the whole pool{of}, so its states have no candidate. "
        f"A pool needs two episodes, retrieval.demos={chain.recipe.demos} gives it one.\n"
        f"With two: {again(retrieval__demos=2)}"
    )


def retrieval_warnings(chain: Chain, short: int) -> list[str]:
    """What a reader of the neighbours should know. `short` queries have fewer candidates than neighbours are kept."""
    recipe, plan, warnings = chain.recipe, chain.plan, []
    if note := flattening_note(chain.dataset):
        warnings.append(note)
    if few := [pool for pool in plan.pools if pool.demos < recipe.demos]:
        warnings.append(_small_pools(few, recipe.demos))
    leading = not (plan.by_mission or recipe.unseen)
    if leading and chain.layout.leading_rows(recipe.states) < len(plan.rows):
        warnings.append(f"All {plan.queries} states of the pool query; {recipe.states} were asked for.")
    if plan.single:
        warnings.append("One query episode: the pool is the first half of the pool's rows, own episode included.")
    if short:
        warnings.append(
            f"{short} queries have fewer than {recipe.neighbours} candidates; missing places repeat the last candidate."
        )
    return warnings


def _small_pools(few: Sequence[Pool], asked: int) -> str:
    if not few[0].mission:
        return f"The pool has {few[0].demos} episodes, {asked} were asked for."
    least = min(few, key=lambda pool: pool.demos)
    return (
        f"{len(few)} missions have fewer than {asked} episodes in their pool; the fewest, {least.demos}, has "
        f"{least.mission!r}."
    )
