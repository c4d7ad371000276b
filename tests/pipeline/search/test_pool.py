"""Equal vectors are found, and only equal ones."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.search.pool import distinct


@pytest.mark.parametrize("d", [1, 2, 7, 148])
def test_distinct_vectors_come_in_the_order_of_their_first_rows(d):
    rng = np.random.default_rng(d)
    vectors = rng.integers(0, 2, size=(3000, d)).astype(np.float32)
    vectors[:, : d // 2] = 0.5
    vectors[rng.random(3000) < 0.3] = vectors[3]
    pool = distinct(vectors, cosine=False)
    _, firsts, owners = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(pool.firsts, np.sort(firsts))
    np.testing.assert_array_equal(pool.vectors, vectors[np.sort(firsts)])
    assert pool.rows == 3000
    for v, first in enumerate(pool.firsts):
        rows = np.flatnonzero(owners.reshape(-1) == owners.reshape(-1)[first])
        np.testing.assert_array_equal(pool.members[pool.starts[v] : pool.starts[v + 1]], rows)
        assert pool.lasts[v] == rows[-1]


def test_without_equal_vectors_nothing_is_copied():
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    pool = distinct(vectors, cosine=False)
    assert pool.plain
    assert pool.vectors is vectors
    ranges = np.array([[0, 0], [2, 5]])
    assert pool.spans(ranges) is ranges


def test_a_range_of_rows_is_the_range_of_vectors_that_begin_in_it():
    pool = distinct(np.float32([[1], [2], [1], [3], [2], [4]]), cosine=False)
    np.testing.assert_array_equal(
        pool.spans(np.array([[0, 0], [0, 2], [2, 5], [1, 6]])), [[0, 0], [0, 2], [2, 3], [1, 4]]
    )
