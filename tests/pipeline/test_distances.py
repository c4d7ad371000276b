"""Context distances by hand and against float64."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import distances
from pipeline.distances import context_distances


def test_distances_are_to_the_first_retrieved_state():
    pool = np.stack([3 * np.arange(25), 4 * np.arange(25)], axis=1).astype(np.float32)  # 5 apart along a line
    neighbours = np.arange(2, 24, dtype=np.int32)[None]  # s0 = (6, 8); columns beyond the 19th are not read
    out = context_distances(pool, np.float32([[6, 20]]), neighbours)
    np.testing.assert_array_equal(out, [[*range(0, 95, 5), 12]])
    assert out.dtype == np.float32


@pytest.mark.parametrize("widened_bytes", [0, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_every_dtype_of_vectors_agrees_with_float64_arithmetic(dtype, widened_bytes, monkeypatch):
    monkeypatch.setattr(distances, "_WIDENED_BYTES", widened_bytes)
    rng = np.random.default_rng(0)
    pool, queries = (rng.integers(0, 200, size=(m, 11)).astype(dtype) for m in (300, 50))
    neighbours = rng.integers(0, 300, size=(50, 19))
    context = np.concatenate([pool[neighbours], queries[:, None]], axis=1).astype(np.float64)
    expected = np.sqrt(((context - context[:, :1]) ** 2).sum(axis=2)).astype(np.float32)
    np.testing.assert_array_equal(context_distances(pool, queries, neighbours), expected)


def test_small_differences_of_large_float32_vectors_survive():
    pool = np.full((2, 3), 1e7, dtype=np.float32)
    pool[1] += [1, 2, 2]
    neighbours = np.array([[0] + [1] * 18], dtype=np.int32)
    np.testing.assert_array_equal(context_distances(pool, pool[:1], neighbours), [[0, *[3] * 18, 0]])


def test_threads_and_batches_change_no_distance():
    rng = np.random.default_rng(1)
    pool, queries = rng.normal(size=(500, 39)), rng.normal(size=(9000, 39))
    neighbours = rng.integers(0, 500, size=(9000, 30)).astype(np.int32)
    one = context_distances(pool, queries, neighbours, threads=1)
    np.testing.assert_array_equal(context_distances(pool, queries, neighbours, threads=3), one)
    parts = [context_distances(pool, queries[i : i + 777], neighbours[i : i + 777]) for i in range(0, 9000, 777)]
    np.testing.assert_array_equal(np.concatenate(parts), one)


def test_no_states_give_no_distances():
    out = context_distances(np.zeros((3, 2)), np.zeros((0, 2)), np.zeros((0, 19), np.int32))
    assert out.shape == (0, 20)


@pytest.mark.parametrize(
    ("pool", "queries", "neighbours", "words"),
    [
        (np.zeros((3, 2)), np.zeros((1, 3)), np.zeros((1, 19), int), r"\(3, 2\) and \(1, 3\)"),
        (np.zeros((3, 2)), np.zeros((1, 2)), np.zeros((1, 18), int), "19 or more"),
        (np.zeros((3, 2)), np.zeros((1, 2)), np.zeros((2, 19), int), "wanted \\(1"),
        (np.zeros((3, 2)), np.zeros((1, 2)), np.full((1, 19), 3), "rows 0 to 2"),
        (np.zeros((3, 2)), np.zeros((1, 2)), np.full((1, 19), -1), "query 0"),
    ],
)
def test_bad_contexts_are_refused_with_what_was_found(pool, queries, neighbours, words):
    with pytest.raises(ValueError, match=words):
        context_distances(pool, queries, neighbours)
