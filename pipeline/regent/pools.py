"""Which states may retrieve and which may be retrieved (REGENT, arXiv:2412.04759; JAT's row-granular subset)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int, Int32, Int64

from pipeline.errors import InvalidInput
from pipeline.regent.missions import mission_queries
from pipeline.regent.rows import RowLayout

SINGLE_EPISODE = "single_episode"
"""The fact in a retrieval's manifest: all its queries are of one episode, which therefore is its own pool."""


class NothingToRetrieve(InvalidInput):
    """So few episodes that no state has another one beside it."""


@dataclass(frozen=True)
class Pool:
    """States that some queries may retrieve.

    Attributes:
        mission: whose queries; empty for the only pool of a task.
        states: flat states, ascending.
        demos: episodes that they are of.
    """

    mission: str
    states: Int64[np.ndarray, "pool"]
    demos: int


@dataclass(frozen=True)
class QueryPlan:
    """Queries and pools of one task.

    Attributes:
        rows: of the dataset, ascending; their states are the queries.
        states: those flat states, ascending.
        pools: one, or one for each mission that queries. No state is in two of them.
        owner: number of the pool of each query.
        episodes: leading episodes of the dataset that the choice depends on.
        single: the task has one query episode; the pool is then the first half of its rows, its own ones included.
    """

    rows: Int64[np.ndarray, "rows"]
    states: Int64[np.ndarray, "queries"]
    pools: Sequence[Pool]
    owner: Int32[np.ndarray, "queries"]
    episodes: int
    single: bool = False

    @property
    def queries(self) -> int:
        return len(self.states)

    @property
    def by_mission(self) -> bool:
        """Whether queries retrieve inside their own mission."""
        return bool(self.pools[0].mission)

    @property
    def demos(self) -> int:
        """Episodes of all pools."""
        return sum(pool.demos for pool in self.pools)

    @cached_property
    def pooled(self) -> Int64[np.ndarray, "pooled"]:
        """The flat states of all pools, ascending."""
        return np.sort(np.concatenate([pool.states for pool in self.pools]))

    @property
    def pool(self) -> int:
        """States of all pools."""
        return len(self.pooled)

    def excluded(
        self, state_ends: Int64[np.ndarray, "episodes"], which: Int[np.ndarray, "n"]
    ) -> Int64[np.ndarray, "n 2"]:
        """The range [begin, end) of its own pool that each query must not retrieve: its episode, or itself.

        `which` are numbers of queries, at least one, all of one pool.
        """
        states, pool = self.states[which], self.pools[int(self.owner[which[0]])].states
        if self.single:
            begins, ends = states, states + 1
        else:
            episodes = np.searchsorted(state_ends, states, "right")
            begins, ends = np.concatenate([[0], state_ends])[episodes], state_ends[episodes]
        return np.stack([np.searchsorted(pool, begins), np.searchsorted(pool, ends)], axis=1)

    def candidates(self, state_ends: Int64[np.ndarray, "episodes"]) -> Int64[np.ndarray, "queries"]:
        """How many states each query may retrieve."""
        found = np.empty(self.queries, np.int64)
        for number, which in self.by_pool(0, self.queries):
            ranges = self.excluded(state_ends, which)
            found[which] = len(self.pools[number].states) - (ranges[:, 1] - ranges[:, 0])
        return found

    def by_pool(self, start: int, stop: int) -> Iterator[tuple[int, Int64[np.ndarray, "n"]]]:
        """The queries among [start, stop) of each pool that has some: the pool's number, and theirs."""
        owner = self.owner[start:stop]
        order = np.argsort(owner, kind="stable")
        cuts = np.flatnonzero(np.diff(owner[order])) + 1
        for which in np.split(order, cuts) if len(order) else []:
            yield int(owner[which[0]]), start + which


def choose(layout: RowLayout, demos: int, states: int, unseen: bool, rows_per_demo: int | None = None) -> QueryPlan:
    """One pool, and queries of leading rows.

    The pool is the first `demos` episodes, cut to `demos` times `rows_per_demo` rows. Queries are the leading rows
    with at least `states` states, and no fewer than the pool's: whoever reads the bins finds each neighbour there. For
    a task held out from training they are the pool itself.

    Three episodes of ten states in rows of 4, 4 and 2; one of them may be retrieved, twelve states are to query:

    >>> plan = choose(RowLayout(np.array([10, 10, 10]), 4), demos=1, states=12, unseen=False)
    >>> plan.rows.tolist(), plan.queries, plan.pool, plan.episodes
    ([0, 1, 2, 3], 14, 10, 2)

    Raises InvalidInput for a single episode of a single row, which leaves nothing to retrieve.
    """
    state_ends = np.cumsum(layout.lengths)
    demos = min(demos, len(layout.lengths))
    pool_rows = int(layout.rows_per_episode[:demos].sum())
    if rows_per_demo is not None:
        pool_rows = min(pool_rows, demos * rows_per_demo)
    rows = pool_rows if unseen else max(layout.leading_rows(states), pool_rows)
    queries, pool = layout.states_in(rows), layout.states_in(pool_rows)
    demos = int(np.searchsorted(state_ends, pool, "left")) + 1
    query_episodes = int(np.searchsorted(state_ends, queries, "left")) + 1
    single = query_episodes == 1
    if single:
        pool = layout.states_in(pool_rows // 2)
        if pool == 0:
            raise NothingToRetrieve(
                f"Retrieval with one episode uses the first half of its rows of {layout.width} steps as the pool, "
                f"but there is only {pool_rows} row."
            )
    return QueryPlan(
        rows=np.arange(rows),
        states=np.arange(queries),
        pools=[Pool("", np.arange(pool), demos)],
        owner=np.zeros(queries, np.int32),
        episodes=max(demos, query_episodes),
        single=single,
    )


def choose_by_mission(
    layout: RowLayout, missions: Sequence[str], demos: int, states: int, least: int | None
) -> QueryPlan:
    """Each mission has a pool of its own, its first `demos` episodes; see `mission_queries`.

    The choice depends on every episode of the dataset, since missions are counted.
    """
    found = mission_queries(missions, layout.lengths, states, demos, least)
    rows = _rows_of(layout, found.episodes)
    number = {mission: i for i, mission in enumerate(found.pool_missions)}
    owner = np.array([number[missions[episode]] for episode in found.episodes.tolist()], np.int32)
    pools = [
        Pool(mission, _states_of(layout, episodes), len(episodes))
        for mission, episodes in zip(found.pool_missions, found.pools, strict=True)
    ]
    return QueryPlan(
        rows=rows,
        states=_states_of(layout, found.episodes),
        pools=pools,
        owner=np.repeat(owner, layout.lengths[found.episodes]),
        episodes=len(layout.lengths),
    )


def _states_of(layout: RowLayout, episodes: Int[np.ndarray, "n"]) -> Int64[np.ndarray, "states"]:
    """All flat states of some ascending episodes."""
    return _ranges(np.cumsum(layout.lengths) - layout.lengths, layout.lengths, episodes)


def _rows_of(layout: RowLayout, episodes: Int[np.ndarray, "n"]) -> Int64[np.ndarray, "rows"]:
    """All rows of some ascending episodes."""
    per_episode = layout.rows_per_episode
    return _ranges(np.cumsum(per_episode) - per_episode, per_episode, episodes)


def _ranges(
    begins: Int[np.ndarray, "all"], lengths: Int[np.ndarray, "all"], which: Int[np.ndarray, "n"]
) -> Int64[np.ndarray, "numbers"]:
    """The numbers begins[i], ..., begins[i] + lengths[i] - 1 of each i in `which`, one after the other.

    >>> _ranges(np.array([0, 10, 20]), np.array([2, 3, 4]), np.array([0, 2])).tolist()
    [0, 1, 20, 21, 22, 23]
    """
    chosen = lengths[which]
    within = np.arange(int(chosen.sum())) - np.repeat(np.cumsum(chosen) - chosen, chosen)
    return np.repeat(begins[which], chosen) + within
