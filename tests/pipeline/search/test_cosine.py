"""The ranking by cosine: what it promises beyond agreeing with brute force of its own definition."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.search import panels
from pipeline.search.index import ExactIndex
from tests.pipeline.search.brute import brute_force, units

pytestmark = pytest.mark.usefixtures("floats_alone")


def video(rng, n, d=128):
    """Non-negative embeddings with a large common mean, a slow walk and exact repeats, as those of frames are."""
    walk = np.cumsum(rng.normal(size=(n, 6)), axis=0) * 0.02
    vectors = np.maximum(1 + walk @ rng.normal(size=(6, d)) + 1e-3 * rng.normal(size=(n, d)), 0).astype(np.float32)
    repeated = np.flatnonzero(rng.random(n) < 0.5)
    vectors[repeated] = vectors[repeated // 8 * 8]
    return vectors


def test_the_most_similar_direction_comes_first_whatever_its_length():
    keys = np.float32([[0, 5], [9, 1], [1, 1], [-3, 0], [0.1, 0]])
    np.testing.assert_array_equal(ExactIndex(keys, "cosine").search(np.float32([[7, 0]]), 5).rows, [[4, 1, 2, 0, 3]])


def test_parallel_keys_tie():
    keys = np.float32([[3, 6, -9], [0, 1, 0], [1, 2, -3], [7, 14, -21], [0.25, 0.5, -0.75]])
    found = ExactIndex(keys, "cosine").search(np.float32([[1, 2, -3], [0.3, -5, 0]]), 4)
    np.testing.assert_array_equal(found.rows, [[0, 2, 3, 4], [0, 2, 3, 4]])


def test_a_zero_vector_is_equally_unlike_everything():
    keys = np.float32([[-1, 0], [0, 0], [1, 0], [0, 1]])
    queries = np.float32([[1, 0], [0, 0], [0, 0]])
    found = ExactIndex(keys, "cosine").search(queries, 3, np.array([[0, 0], [0, 0], [1, 3]]))
    np.testing.assert_array_equal(found.rows, [[2, 1, 3], [0, 1, 2], [0, 3, 3]])


@pytest.mark.parametrize("make", [video, lambda rng, n: rng.normal(size=(n, 64)).astype(np.float32)])
def test_order_is_that_of_the_float64_cosine_but_for_the_rounding_of_the_units(make):
    rng = np.random.default_rng(0)
    vectors = make(rng, 2000)
    keys, queries = vectors[:1900], vectors[1900:]
    rows = ExactIndex(keys, "cosine").search(queries, 40).rows
    a, b = queries.astype(np.float64), keys.astype(np.float64)
    cosines = a @ b.T / (np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1))
    found = np.take_along_axis(cosines, rows, axis=1)
    np.testing.assert_allclose(found, -np.sort(-cosines, axis=1)[:, :40], rtol=0, atol=2.6e-7)


def test_embeddings_of_frames_with_exclusion_equal_brute_force():
    rng = np.random.default_rng(1)
    keys = video(rng, 2500)
    keys[100:130] = 0
    queries = np.concatenate([keys[::50], keys[95:135]])
    start = np.concatenate([np.arange(0, 2500, 50), np.arange(95, 135)]) // 500 * 500
    excluded = np.stack([start, start + 500], axis=1)
    found = ExactIndex(keys, "cosine").search(queries, 100, excluded)
    np.testing.assert_array_equal(found.rows, brute_force(keys, queries, 100, excluded, "cosine"))


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-6, 1e-20])
def test_the_score_tile_brackets_the_true_score(spread):
    rng = np.random.default_rng(2)
    vectors = units((rng.normal(size=(80, 30)) * spread + rng.normal(size=30)).astype(np.float32))
    vectors[5] = 0
    keys, queries = vectors[:64], vectors[64:]
    packed = panels.pack_panels(keys, cosine=True)
    side = panels.score_side(queries, packed)
    in_key_order = packed.tiles[0].reshape(32, panels.GROUP, -1).swapaxes(1, 2).reshape(32, -1)[:, :64]
    low = (side.left @ in_key_order).astype(np.float64)
    high = low + 2 * side.widths.astype(np.float64)[:, None] * packed.norms
    # -2uv in units of the scale, less what depends on the query alone; longdouble, for the pads are near its last bits.
    u, v, centre = (x.astype(np.longdouble) for x in (queries, keys, packed.centre))
    true = (-2 * u @ v.T + 2 * u @ centre[:, None] - centre @ centre + 1) * np.longdouble(packed.scale) ** 2
    assert (low - side.pads[:, None] <= true).all()
    assert (true <= high + side.pads[:, None]).all()
    assert not side.far.any()
