"""Which states may retrieve and which may be retrieved (REGENT, arXiv:2412.04759; JAT's row-granular subset)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.rows import RowLayout


@dataclass(frozen=True)
class Retrieval:
    """Queries and pool of one task, both leading flat states.

    Attributes:
        queries: states [0, queries) retrieve.
        rows: leading rows that hold exactly the queries.
        pool: states [0, pool) may be retrieved.
        demos: episodes of the pool.
        episodes: leading episodes of the dataset that take part in either.
        single: the task has one query episode; the pool is then the first half of its rows, its own ones included.
    """

    queries: int
    rows: int
    pool: int
    demos: int
    episodes: int
    single: bool

    def excluded(self, state_ends: np.ndarray, start: int, stop: int) -> np.ndarray:
        """(stop - start, 2) int64: the pool states that each query must not retrieve: its own episode, or itself."""
        states = np.arange(start, stop)
        if self.single:
            ranges = np.stack([states, states + 1], axis=1)
        else:
            episodes = np.searchsorted(state_ends, states, "right")
            begins = np.concatenate([[0], state_ends])[episodes]
            ranges = np.stack([begins, state_ends[episodes]], axis=1)
        return np.minimum(ranges, self.pool)


def choose(layout: RowLayout, demos: int, states: int, unseen: bool) -> Retrieval:
    """The pool is the first `demos` episodes. Queries are the leading rows with at least `states` states; for a task
    held out from training they are the pool itself.

    Raises InvalidInput for a single episode of a single row, which leaves nothing to retrieve.
    """
    state_ends = np.cumsum(layout.lengths)
    demos = min(demos, len(layout.lengths))
    pool = int(state_ends[demos - 1])
    pool_rows = int(layout.rows_per_episode[:demos].sum())
    rows = pool_rows if unseen else max(layout.leading_rows(states), 1)
    queries = layout.states_in(rows)
    query_episodes = int(np.searchsorted(state_ends, queries, "left")) + 1
    single = query_episodes == 1
    if single:
        pool = layout.states_in(pool_rows // 2)
        if pool == 0:
            raise InvalidInput(
                f"Retrieval with one episode uses the first half of its rows of {layout.width} steps as the pool, "
                f"but there is only {pool_rows} row. Collect at least two episodes: episodes=2"
            )
    return Retrieval(queries, rows, pool, demos, max(demos, query_episodes), single)
