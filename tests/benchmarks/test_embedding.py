"""The share of neighbours that stay, which says what a dtype costs."""

import numpy as np

from benchmarks.embedding import kept_neighbours


def test_neighbours_stay_under_scale_and_go_under_noise():
    rng = np.random.default_rng(0)
    vectors, other = rng.normal(size=(2, 200, 8))
    assert kept_neighbours(vectors, 2 * vectors, 5) == 1
    assert kept_neighbours(vectors, other, 5) < 0.1
    swapped = np.array([0.0, 1, 3, 7])[:, None]
    assert kept_neighbours(swapped, -swapped, 2) == 1
    assert kept_neighbours(swapped, swapped[[0, 1, 3, 2]], 1) == 0.5  # two of four have another nearest
