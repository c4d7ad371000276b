"""Orders that are computed number by number are permutations, and look like chance."""

from __future__ import annotations

from collections import Counter
from math import factorial, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.views.permutation import drawn_places, permuted, seed_key


def excess(counts, expected):
    """Of a chi-square statistic over its expectation, in standard deviations: above 4 by chance once in 10,000."""
    counts = np.asarray(counts, np.float64)
    free = len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - free) / sqrt(2 * free)


@pytest.mark.parametrize("count", [*range(1, 18), 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 1000, 4095, 4096, 4097])
def test_each_place_comes_once_in_every_epoch(count):
    places = permuted(np.arange(3 * count), count, seed_key(count)).reshape(3, count)
    np.testing.assert_array_equal(np.sort(places, 1), np.tile(np.arange(count), (3, 1)))


@settings(max_examples=25)
@given(st.integers(1, 10**12), st.integers(0, 2**63), st.integers(0, 1000))
def test_no_two_numbers_of_an_epoch_have_one_place_among_however_many(count, seed, epoch):
    numbers = np.unique(np.linspace(0, count - 1, 50).astype(np.int64))
    places = permuted(numbers + epoch * count, count, seed_key(seed))
    assert len(np.unique(places)) == len(numbers)
    assert places.min() >= 0
    assert places.max() < count
    np.testing.assert_array_equal(places[::-1], permuted((numbers + epoch * count)[::-1], count, seed_key(seed)))


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_all_orders_of_a_few_places_come_equally_often(count):
    epochs = 50 * factorial(count)
    orders = permuted(np.arange(epochs * count), count, seed_key(1)).reshape(epochs, count)
    found = Counter(map(tuple, orders.tolist()))
    assert len(found) == factorial(count)
    assert abs(excess(list(found.values()), 50)) < 4


@pytest.mark.parametrize("count", [40, 64, 100])
def test_neighbours_in_an_order_are_no_nearer_than_chance(count):
    epochs = 20 * count * count
    pairs = permuted((np.arange(epochs)[:, None] * count + [0, 1]).ravel(), count, seed_key(2)).reshape(-1, 2)
    found = np.bincount(pairs[:, 0] * count + pairs[:, 1], minlength=count * count).reshape(count, count)
    apart = found[~np.eye(count, dtype=bool)]
    assert abs(excess(apart, epochs / len(apart))) < 4


def test_epochs_and_seeds_have_orders_of_their_own():
    places = permuted(np.arange(2000), 1000, seed_key(0)).reshape(2, 1000)
    assert (places[0] == places[1]).sum() < 10
    assert (places[0] == permuted(np.arange(1000), 1000, seed_key(1))).sum() < 10


def test_draws_follow_the_weights_and_are_spread_over_the_places():
    weights, sizes = np.array([0.0, 1.0, 0.0, 3.0, 4.0, 0.0]), np.array([2, 5, 0, 10, 1, 4])
    cumulative, ends = np.cumsum(weights), np.cumsum(sizes)
    places = drawn_places(np.arange(40_000), cumulative, ends, seed_key(3))
    found = np.bincount(places, minlength=ends[-1])
    shares = np.repeat(weights / weights.sum() / np.maximum(sizes, 1), sizes)
    assert not found[shares == 0].any()
    assert abs(excess(found[shares > 0], 40_000 * shares[shares > 0])) < 4
