"""The order of shortlists: what float32 bounds decide, what float64 must, and whole numbers, which are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.search import index as index_module
from pipeline.search import panels, strips, tiles
from pipeline.search.index import ExactIndex
from tests.pipeline.search.brute import brute_force


def scored(keys, queries):
    packed = panels.pack_panels(keys)
    side = panels.score_side(queries, packed)
    columns = [tile.reshape(len(tile), panels.GROUP, -1).swapaxes(1, 2).reshape(len(tile), -1) for tile in packed.tiles]
    return packed, side, (side.left @ np.concatenate(columns, axis=1))[:, : len(keys)]


def test_scores_of_whole_numbers_are_exact():
    rng = np.random.default_rng(0)
    keys, queries = (rng.integers(-20, 90, size=(m, 148)).astype(np.float32) for m in (700, 30))
    packed, side, scores = scored(keys, queries)
    assert packed.whole
    assert not side.widths.any()
    assert not side.pads.any()
    a, b = queries - packed.centre, keys - packed.centre
    np.testing.assert_array_equal(scores, ((b * b).sum(axis=1) - 2 * a @ b.T) * packed.scale**2)


@pytest.mark.parametrize("change", ["half", "far query", "large keys", "fractional key"])
def test_what_may_be_rounded_is_not_called_exact(change):
    rng = np.random.default_rng(1)
    keys, queries = (rng.integers(0, 90, size=(m, 20)).astype(np.float32) for m in (50, 3))
    if change == "half":
        queries += np.float32(0.5)
    if change == "far query":
        queries += np.float32(2.0**20)
    if change == "large keys":
        keys, queries = keys * 2**10 + 1, queries * 2**10
    if change == "fractional key":
        keys[3, 4] += np.float32(0.25)
    _, side, _ = scored(keys, queries)
    assert (side.widths > 0).all()
    assert (side.pads > 0).all()


@settings(max_examples=60)
@given(st.data())
def test_any_search_of_whole_numbers_equals_brute_force(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    reach = data.draw(st.sampled_from([2, 40, 900, 3000, 2**12, 2**23]))  # about 2000 for 2ab + b^2 to meet 2^24
    d, shift = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([0, 5, 4001]))
    keys, queries = (rng.integers(-reach, reach, size=(m, d)).astype(np.float32) + shift for m in (70, 9))
    queries[0] += np.float32(0.5)
    keys[rng.random(70) < 0.2] = keys[0]
    start = rng.integers(0, 40, size=9)
    excluded = np.stack([start, start + rng.integers(0, 30, size=9)], axis=1)
    k = data.draw(st.integers(1, 75))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "FEW", data.draw(st.sampled_from([0, 70])))  # by panels or by strips
        found = ExactIndex(keys, threads=1).search(queries, k, excluded)
    np.testing.assert_array_equal(found.rows, brute_force(keys, queries, k, excluded))


@pytest.mark.parametrize("way", [strips, tiles])
@pytest.mark.parametrize("copies", [False, True])
def test_float64_decides_only_where_bounds_overlap(copies, way, monkeypatch):
    monkeypatch.setattr(index_module, "FEW", 600 if way is strips else 0)
    rng = np.random.default_rng(2)
    keys = np.float32(10.0) ** rng.permuted(np.linspace(-1, 1, 600)).astype(np.float32)[:, None] * np.ones(
        3, np.float32
    )
    keys[300:310] = keys[299] * (1 + np.float32(1e-7) * rng.permuted(np.arange(10))[:, None]).astype(np.float32)
    if copies:
        keys[400:600] = keys[:200]
    queries = np.zeros((4, 3), np.float32)
    right = brute_force(keys, queries, 600)
    np.testing.assert_array_equal(ExactIndex(keys).search(queries, 600).rows, right)
    ranked = []

    def spy(asked, vectors, *rest):
        blind = vectors.copy()
        blind[clear] = np.nan
        original(asked, blind, *rest)
        ranked.append(len(asked))

    index = ExactIndex(keys)
    distances = np.linalg.norm(index.pool.vectors, axis=1)
    order = np.argsort(distances)
    gaps = np.minimum(np.diff(distances[order], prepend=-1), np.diff(distances[order], append=99))
    clear = order[gaps > 1e-3 * distances[order]]
    original = way.rank_bounded
    monkeypatch.setattr(way, "rank_bounded", spy)
    np.testing.assert_array_equal(index.search(queries, 600).rows, right)
    assert len(clear) > 300
    assert ranked
