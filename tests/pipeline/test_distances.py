"""Context distances by hand and against float64; streamed statistics against numpy on the whole array."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipeline import distances
from pipeline.distances import DistanceStatistics, context_distances, distance_statistics, normaliser

PERCENTILES = (80, 85, 90, 95, 99)


def whole(values):
    return distance_statistics(lambda: [np.asarray(values, dtype=np.float32).reshape(-1, 1)])


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


def test_statistics_of_one_to_a_hundred_are_the_textbook_ones():
    found = whole(range(101))
    assert (found.n, found.mean, found.max) == (101, 50, 100)
    assert found.std == math.sqrt(850)
    assert (found.p80, found.p85, found.p90, found.p95, found.p99) == (80, 85, 90, 95, 99)


def test_json_holds_the_values_without_the_count():
    assert whole([2, 2]).to_json() == {
        "mean": 2.0, "std": 0.0, "max": 2.0, "p80": 2.0, "p85": 2.0, "p90": 2.0, "p95": 2.0, "p99": 2.0
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    npst.arrays(np.float32, st.integers(1, 300), elements=st.floats(0, width=32, allow_nan=False, allow_infinity=False))
)
def test_percentiles_are_numpys_in_float64_bit_for_bit(values):
    found = whole(values)
    for p in PERCENTILES:
        assert getattr(found, f"p{p}") == np.percentile(values.astype(np.float64), p)
    exact = [Fraction(float(v)) for v in values]
    mean = sum(exact) / len(exact)
    assert found.mean == float(mean)
    variance = sum((v - mean) ** 2 for v in exact) / len(exact)
    assert math.isclose(found.std, math.sqrt(variance), rel_tol=1e-15) if variance > 1e-290 else found.std < 1e-140
    assert found.max == values.max()


def test_percentiles_of_a_realistic_stream_are_numpys_in_float64_bit_for_bit():
    values = np.abs(np.random.default_rng(2).normal(size=(60_000, 20))).astype(np.float32)
    values[:, 0] = 0
    found = distance_statistics(lambda: np.array_split(values, 7))
    for p in PERCENTILES:
        assert getattr(found, f"p{p}") == np.percentile(values.astype(np.float64), p)
    assert found.mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-12)
    assert found.std == pytest.approx(values.std(dtype=np.float64), rel=1e-12)


def test_block_sizes_and_order_change_no_bit():
    rng = np.random.default_rng(3)
    values = (rng.lognormal(0, 5, size=(5000, 20))).astype(np.float32)
    found = distance_statistics(lambda: [values])
    for size in (1, 33, 4999):
        blocks = [values[i : i + size] for i in range(0, 5000, size)]
        assert distance_statistics(lambda blocks=blocks: blocks) == found
        assert distance_statistics(lambda blocks=blocks: iter(blocks[::-1])) == found


def test_negative_zero_counts_as_zero():
    assert whole([-0.0, 0.0]) == DistanceStatistics(2, *[0.0] * 8)


@pytest.mark.parametrize("value", [-1.0, -1e-45, np.nan, -np.nan, np.inf, -np.inf])
def test_values_that_are_no_distances_are_refused(value):
    with pytest.raises(ValueError, match="finite values of at least 0"):
        whole([1.0, value, 2.0])


def test_other_dtypes_empty_streams_and_unequal_passes_are_refused():
    with pytest.raises(ValueError, match="float64"):
        distance_statistics(lambda: [np.zeros((2, 2))])
    with pytest.raises(ValueError, match="found none"):
        distance_statistics(lambda: [])
    once = iter([np.ones((2, 2), np.float32)])
    with pytest.raises(ValueError, match="both passes"):
        distance_statistics(lambda: once)


def test_the_normaliser_is_float32_and_never_zero():
    assert normaliser(0.1) == np.float32(0.1)
    assert isinstance(normaliser(0.1), np.float32)
    assert normaliser(0.0) == 1
    assert normaliser(1e-60) == 1  # zero in float32
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="p95"):
            normaliser(wrong)
