"""Streamed statistics against numpy on the whole array."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipeline.regent.statistics import PERCENTILES, DistanceStatistics, distance_statistics, normaliser


def whole(values):
    return distance_statistics(lambda: [np.asarray(values, dtype=np.float32).reshape(-1, 1)])


def test_statistics_of_one_to_a_hundred_are_the_textbook_ones():
    found = whole(range(101))
    assert (found.n, found.mean, found.max) == (101, 50, 100)
    assert found.std == math.sqrt(850)
    assert (found.p80, found.p85, found.p90, found.p95, found.p99) == (80, 85, 90, 95, 99)


def test_json_holds_the_values_without_the_count():
    assert whole([2, 2]).to_json() == {
        "mean": 2.0, "std": 0.0, "max": 2.0, "p80": 2.0, "p85": 2.0, "p90": 2.0, "p95": 2.0, "p99": 2.0
    }  # fmt: skip


@settings(max_examples=200)
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
