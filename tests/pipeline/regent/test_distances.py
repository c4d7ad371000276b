"""Context distances by hand and against float64."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.regent import distances
from pipeline.regent.distances import context_distances


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


@pytest.mark.parametrize("widened_bytes", [0, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_cosine_distances_agree_with_float64_arithmetic(dtype, widened_bytes, monkeypatch):
    monkeypatch.setattr(distances, "_WIDENED_BYTES", widened_bytes)
    rng = np.random.default_rng(0)
    pool, queries = (rng.normal(scale=50, size=(m, 11)).astype(dtype) for m in (300, 50))
    pool[::7], queries[::9] = 0, 0
    neighbours = rng.integers(0, 300, size=(50, 19))
    context = np.concatenate([pool[neighbours], queries[:, None]], axis=1).astype(np.float64)
    lengths = np.linalg.norm(context, axis=2)
    expected = np.ones((50, 20))
    for i, states in enumerate(context):
        for c in range(20):
            if lengths[i, 0] * lengths[i, c] > 0:
                expected[i, c] = 1 - states[0] @ states[c] / (lengths[i, 0] * lengths[i, c])
    expected[:, 0] = 0
    out = context_distances(pool, queries, neighbours, "cosine")
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-14)
    assert (out == 1).any()
    assert out.min() >= 0
    assert out.max() <= 2


def test_cosine_distances_of_equal_parallel_and_opposite_states_are_exact():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(40, 13)).astype(np.float32)
    for i, vector in enumerate(base):
        pool = np.stack([vector, vector, 2 * vector, 0.25 * vector, -vector, -4 * vector, 0 * vector])
        neighbours = np.resize(np.arange(7), (1, 19))
        out = context_distances(pool, base[i : i + 1], neighbours, metric="cosine")
        np.testing.assert_array_equal(out, [[*np.resize([0, 0, 0, 0, 2, 2, 1], 19), 0]])


def test_cosine_distances_survive_the_ends_of_the_number_range():
    pool = np.array([[1e-120, 0], [1e-120, 1e-120], [1e120, 1e120]])
    out = context_distances(pool, pool[2:], np.array([[0, 1] + [2] * 17]), "cosine")
    np.testing.assert_allclose(out[0, 1:], 1 - np.sqrt(0.5), rtol=1e-6)
    far = context_distances(pool, pool[:1], np.array([[2, 1] + [2] * 17]), "cosine")
    np.testing.assert_allclose(far[0], [*[0] * 19, 1 - np.sqrt(0.5)], rtol=1e-6, atol=1e-15)
    tiny = np.float32([[1e-45, 0], [0, 3e38]])
    np.testing.assert_array_equal(context_distances(tiny, tiny[:1], np.array([[0] + [1] * 18]), "cosine")[0, 1:19], 1)


def test_the_first_entry_is_zero_even_where_the_first_state_is():
    pool = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(
        context_distances(pool, pool[:1], np.zeros((1, 19), np.int32), "cosine"), [[0] + [1] * 19]
    )


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_threads_and_batches_change_no_distance(metric):
    rng = np.random.default_rng(1)
    pool, queries = rng.normal(size=(500, 39)), rng.normal(size=(9000, 39))
    neighbours = rng.integers(0, 500, size=(9000, 30)).astype(np.int32)
    one = context_distances(pool, queries, neighbours, metric, threads=1)
    np.testing.assert_array_equal(context_distances(pool, queries, neighbours, metric, threads=3), one)
    parts = [
        context_distances(pool, queries[i : i + 777], neighbours[i : i + 777], metric) for i in range(0, 9000, 777)
    ]
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


def test_an_unknown_metric_is_refused():
    with pytest.raises(InvalidInput, match="no metric named ip"):
        context_distances(np.zeros((3, 2)), np.zeros((1, 2)), np.zeros((1, 19), int), "ip")
