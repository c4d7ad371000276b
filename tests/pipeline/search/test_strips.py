"""Pools of few keys: product, bound and lists in one call."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.search import index, strips
from pipeline.search.index import ExactIndex
from pipeline.search.panels import pack_strips, score_side
from pipeline.search.pool import distinct
from pipeline.search.strips import QUERIES, fill_by_strips, list_near
from tests.pipeline.search.brute import brute_force, drawn_search


@settings(max_examples=60)
@given(st.data())
def test_any_small_search_in_strips_equals_brute_force(data):
    search = drawn_search(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "QUERY_TILE", data.draw(st.integers(1, 12)))
        patch.setattr(strips, "SPARE", data.draw(st.sampled_from([0, 1024])))
        found = ExactIndex(search.keys, search.metric, threads=2).search(search.queries, search.k, search.excluded)
    np.testing.assert_array_equal(found.rows, search.answer())


@pytest.mark.parametrize("n", [1, 47, 48, 49, 300, index.FEW])
def test_whole_and_broken_strips_hold_the_same_neighbours(n):
    rng = np.random.default_rng(n)
    keys, queries = (rng.normal(size=(m, 5)).astype(np.float32) for m in (n, 11))
    left, k = fill(keys, queries, 20)
    assert len(left) == 0
    np.testing.assert_array_equal(k, brute_force(keys, queries, 20))


def fill(keys, queries, k):
    pool = distinct(keys, False)
    rows = np.full((len(queries), k), -1, np.int32)
    left = fill_by_strips(pool, pack_strips(keys), queries, np.zeros((len(queries), 2), np.int64), rows, 1)
    return left, rows


@pytest.mark.parametrize("cosine", [False, True])
def test_bounds_in_strips_bracket_the_true_score(cosine):
    rng = np.random.default_rng(1)
    keys, queries = (rng.normal(size=(m, 30)) for m in (130, 13))
    if cosine:
        keys, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (keys, queries))
    keys, queries = keys.astype(np.float32), queries.astype(np.float32)
    packed = pack_strips(keys, cosine)
    side = score_side(queries, packed, QUERIES)
    shape = (13, 130)
    lows, listed, counts = np.empty(shape, np.float32), np.empty(shape, np.int32), np.empty(13, np.int64)
    none = np.zeros((13, 2), np.int64)
    list_near(
        *(side.left, packed.strips, packed.norms, side.widths, side.pads, side.far, none, none),
        *(np.arange(130, dtype=np.int32), 130, lows, listed, counts),
    )
    a, b = ((x.astype(np.float64) - packed.centre) * packed.scale for x in (queries, keys))
    true = (b * b).sum(axis=1) - 2 * a @ b.T + packed.offsets
    assert (counts == 130).all()
    assert (listed == np.arange(130)).all()
    assert (lows <= true).all()
    assert (true <= lows + 2.0 * side.widths[:, None] * packed.norms[:130]).all()


def test_queries_with_long_lists_and_far_ones_are_left_alone():
    rng = np.random.default_rng(2)
    keys = rng.normal(size=(400, 6)).astype(np.float32)
    keys[200:] = keys[0] * (1 + 1e-7 * rng.normal(size=(200, 6)))
    keys, queries = keys, np.stack([keys[200], np.full(6, 1e30, np.float32), keys[1], keys[2]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "SPARE", 0)
        left, rows = fill(keys, queries, 10)
    assert left.tolist() == [0, 1]
    assert (rows[:2] == -1).all()
    np.testing.assert_array_equal(rows[2:], brute_force(keys, queries[2:], 10))
