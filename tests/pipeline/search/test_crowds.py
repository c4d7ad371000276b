"""Queries answered inside a crowd, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.search import crowds, tiles
from pipeline.search.index import ExactIndex
from tests.pipeline.search.brute import brute_force

pytestmark = pytest.mark.usefixtures("floats_alone")


@pytest.fixture(autouse=True)
def short_lists(monkeypatch):
    monkeypatch.setattr(tiles, "SPARE", 0)


def screens(rng, n, d=32, noise=1e-6, others=0.5):
    """Vectors (n, d) of which some are one of four still screens within rounding, the others all over the place."""
    vectors = rng.normal(size=(n, d)) + 3
    still = rng.random(n) >= others
    vectors[still] = vectors[rng.integers(0, 4, size=int(still.sum()))]
    vectors[still] *= 1 + noise * rng.normal(size=(int(still.sum()), d))
    return vectors.astype(np.float32)


def own(rng, n, queries):
    start = rng.integers(0, n - 200, size=queries)
    return np.stack([start, start + rng.integers(0, 200, size=queries)], axis=1)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_queries_of_still_screens_are_answered_inside_their_crowds(metric, monkeypatch):
    rng = np.random.default_rng(0)
    keys = screens(rng, 1600 + 90)
    keys, queries = keys[:1600], keys[1600:]
    excluded = own(rng, 1600, 90)
    index = ExactIndex(keys, metric, threads=2)
    first = index.search(queries, 10, excluded).rows
    right = brute_force(keys, queries, 10, excluded, metric)
    np.testing.assert_array_equal(first, right)
    assert len(list(index.crowds)) >= 4
    whole, original = [], tiles._by_products

    def spy(task):
        whole.append(len(task.queries) if task.pool is index.pool else 0)
        original(task)

    monkeypatch.setattr(tiles, "_by_products", spy)
    np.testing.assert_array_equal(index.search(queries, 10, excluded).rows, right)
    assert sum(whole) < 70  # those that lie in no crowd


@settings(max_examples=25)
@given(st.data())
def test_any_search_among_crowds_equals_brute_force(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    keys = screens(rng, 430, data.draw(st.sampled_from([1, 3, 40])), data.draw(st.sampled_from([1e-7, 1e-6, 1e-3])))
    keys *= np.float32(data.draw(st.sampled_from([1.0, 1e-30, 1e12])))
    keys[rng.random(430) < 0.3] = keys[rng.integers(0, 430)]
    keys, queries = keys[:400], keys[400:]
    excluded, metric = own(rng, 400, 30), data.draw(st.sampled_from(["l2", "cosine"]))
    k = data.draw(st.integers(1, 60))
    index = ExactIndex(keys, metric, threads=1)
    right = brute_force(keys, queries, k, excluded, metric)
    for _ in range(2):  # the second time with what the first has learned
        np.testing.assert_array_equal(index.search(queries, k, excluded).rows, right)


def test_a_crowd_inside_a_crowd_is_learned_by_it():
    rng = np.random.default_rng(3)
    keys = np.full((3000, 16), 100.0)
    keys[:2000] += 1e-2 * rng.normal(size=16)
    keys[:1000] += 1e-4 * rng.normal(size=(1000, 16))
    keys[1000:2000] += 1e-1 + 1e-4 * rng.normal(size=(1000, 16))
    keys[2000:] = rng.normal(size=(1000, 16)) * 300
    keys = keys.astype(np.float32)
    queries = keys[:2000:50] + np.float32(1e-5)
    index = ExactIndex(keys)
    right = brute_force(keys, queries, 20)
    for _ in range(2):
        np.testing.assert_array_equal(index.search(queries, 20).rows, right)
    assert [len(crowd.rows) for crowd in index.crowds] == [2000]
    assert sorted(len(inner.rows) for crowd in index.crowds for inner in crowd.crowds) == [1000, 1000]


def test_a_crowd_proves_nothing_where_a_vector_outside_may_be_as_near():
    rng = np.random.default_rng(4)
    keys = (1 + 1e-7 * rng.normal(size=(300, 8))).astype(np.float32)
    keys = np.concatenate([keys, rng.normal(size=(300, 8)).astype(np.float32)])
    index = ExactIndex(keys)
    index.search(keys[:5], 20)
    (crowd,) = index.crowds
    inside = np.flatnonzero(np.linalg.norm(keys - crowd.centre, axis=1) <= crowd.radius)
    assert set(inside) <= set(crowd.rows.tolist())
    step = np.eye(8)[0] * crowd.radius
    queries = (crowd.centre + np.array([[0.0], [0.3], [0.45], [0.55], [0.9], [1.1]]) * step).astype(np.float32)
    proven = crowd.proves(queries, np.zeros(6, np.int32), index.crowds.longest)
    np.testing.assert_array_equal(proven, [True, True, True, False, False, False])


def test_a_pool_that_is_one_crowd_is_not_searched_for_ever(monkeypatch):
    monkeypatch.setattr(crowds, "FAILURES", 2)
    rng = np.random.default_rng(5)
    corners = 1 - 2 * (np.arange(1024)[:, None] >> np.arange(10) & 1)
    keys = np.append(corners, np.ones((1024, 1)), axis=1).astype(np.float32)
    queries = (1e-6 * rng.normal(size=(40, 11))).astype(np.float32)
    index = ExactIndex(keys)
    np.testing.assert_array_equal(index.search(queries, 20).rows, brute_force(keys, queries, 20))
    assert list(index.crowds) == []
