"""Points of a plane in groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.clusters import cluster_points


def made(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(-4, 5, (count, 2)) * 3 + rng.normal(size=(count, 2)).round(1)).astype(np.float32)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 120), k=st.integers(1, 8))
def test_each_point_is_in_the_cluster_whose_mean_is_nearest(seed: int, count: int, k: int):
    points = made(seed, count)
    labels, centres = cluster_points(points, k)
    assert labels.dtype == np.int64
    assert centres.dtype == np.float32
    assert len(centres) == min(k, len(np.unique(points, axis=0)))
    assert sorted(set(labels.tolist())) == list(range(len(centres)))
    assert centres.tolist() == sorted(centres.tolist())
    for label, centre in enumerate(centres):
        np.testing.assert_allclose(points[labels == label].astype(float).mean(axis=0), centre, rtol=1e-5, atol=1e-5)
    squares = np.square(points[:, np.newaxis].astype(float) - centres).sum(axis=2)
    own = squares[np.arange(count), labels]
    assert (own <= squares.min(axis=1) + 1e-4).all()


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 120))
def test_the_order_of_the_points_does_not_matter(seed: int, count: int):
    points, order = made(seed, count), np.random.default_rng(seed).permutation(count)
    labels, centres = cluster_points(points, 5)
    again, moved = cluster_points(points[order], 5)
    assert again.tolist() == labels[order].tolist()
    assert moved.tobytes() == centres.tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_lie_apart_are_the_clusters(seed: int):
    rng = np.random.default_rng(seed)
    middles = np.array([[x + y / 5, y] for x in (-50, 0, 50) for y in (-50, 50)])
    own = rng.integers(0, 6, 900)
    labels, centres = cluster_points((middles[own] + rng.normal(size=(900, 2))).astype(np.float32), 6)
    assert labels.tolist() == own.tolist()
    np.testing.assert_allclose(centres, middles, atol=1)


def test_equal_points_are_one_cluster():
    labels, centres = cluster_points(np.zeros((4, 2), np.float32) * np.float32(-1), 3)
    assert labels.tolist() == [0, 0, 0, 0]
    assert centres.tolist() == [[0, 0]]
