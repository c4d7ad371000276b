"""Many pools searched together, against each searched alone."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.search import pooled
from pipeline.search.index import ExactIndex
from pipeline.search.pooled import PooledIndex, PoolQueries


@pytest.mark.parametrize("threads", [1, 3])
def test_pools_searched_together_give_the_rows_of_each_searched_alone(threads, monkeypatch):
    monkeypatch.setattr(pooled, "LARGE", 200)
    rng = np.random.default_rng(0)
    pools = [rng.integers(0, 3, size=(size, 6)).astype(np.float32) for size in (1, 2, 7, 60, 150, 260, 300)]
    queries = rng.integers(0, 3, size=(500, 6)).astype(np.float32)
    owners = rng.integers(0, len(pools) - 1, size=500)  # nobody asks the last
    starts = np.minimum(rng.integers(0, 300, size=500), np.array([len(pools[each]) for each in owners]) - 1)
    excluded = np.stack([starts, starts + (np.array([len(pools[each]) for each in owners]) > 2)], axis=1)
    made = []

    def make(number, cores):
        made.append((number, cores))
        return ExactIndex(pools[number], threads=cores)

    index = PooledIndex(np.array([len(pool) for pool in pools]), make, threads)
    for part in (slice(0, 250), slice(250, 500)):
        asked = [
            PoolQueries(int(number), np.flatnonzero(owners[part] == number), excluded[part][owners[part] == number])
            for number in np.unique(owners[part])
        ]
        rows = index.search(queries[part], 9, asked)
        for each in asked:
            alone = ExactIndex(pools[each.pool]).search(queries[part][each.which], 9, each.excluded).rows
            np.testing.assert_array_equal(rows[each.which], alone)
    assert sorted(made) == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, threads)]


def test_an_error_of_one_pool_is_raised():
    index = PooledIndex(np.array([3, 3]), lambda number, cores: ExactIndex(np.zeros((3, 2), np.float32)), 2)
    asked = [PoolQueries(number, np.array([number]), np.array([[0, 3 * number]])) for number in range(2)]
    with pytest.raises(ValueError, match="excludes all 3 keys"):
        index.search(np.zeros((2, 2), np.float32), 1, asked)
