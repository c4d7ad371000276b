"""Exact search against brute force in float64, on data chosen to break float32 and the order of ties."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.search import panels, tiles
from pipeline.search.index import ExactIndex
from tests.pipeline.search.brute import brute_force, drawn_search

pytestmark = pytest.mark.usefixtures("floats_alone")


@contextmanager
def sizes(**constants: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in constants.items():
            patch.setattr(panels if name == "KEY_TILE" else tiles, name, value)
        yield


@contextmanager
def counted(step: str, queries: int = 0) -> Iterator[list[int]]:
    """Lists how many queries each call of this step served; `queries` is their place among its arguments."""
    original, served = getattr(tiles, step), []

    def spy(*given):
        served.append(len(given[queries]))
        return original(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, step, spy)
        yield served


def trajectories(rng, episodes, steps=100, d=39):
    """Smooth episodes with constant, repeated and zero columns, as a robot arm's observations have."""
    start = rng.normal(size=(episodes, 1, d))
    states = start + np.cumsum(0.05 * rng.normal(size=(episodes, steps, d)), axis=1)
    states[..., 7:11] = 0
    states[..., 18:36] = states[..., :18]
    states[:, 0] = states[0, 0]  # every episode begins in the same state
    return states.reshape(-1, d).astype(np.float32)


def test_a_stored_state_is_its_own_nearest_neighbour():
    keys = np.float32([[0, 0], [3, 4], [6, 8], [30, 40], [60, 80]])
    found = ExactIndex(keys).search(keys, k=2)
    np.testing.assert_array_equal(found.rows, [[0, 1], [1, 0], [2, 1], [3, 2], [4, 3]])
    np.testing.assert_array_equal(found.candidates, [5] * 5)
    assert found.rows.dtype == np.int32


def test_equal_distances_go_to_the_earlier_key():
    keys = np.float32([[9], [1], [-1], [1], [0], [-1]])
    found = ExactIndex(keys).search(np.float32([[0]]), k=5)
    np.testing.assert_array_equal(found.rows, [[4, 1, 2, 3, 5]])


def test_an_excluded_range_is_never_retrieved():
    keys = np.float32([[0], [1], [2], [3], [4], [5]])
    excluded = np.array([[0, 0], [0, 3], [2, 5], [5, 6], [6, 6]])
    found = ExactIndex(keys).search(np.float32([[2]] * 5), k=2, excluded=excluded)
    np.testing.assert_array_equal(found.rows, [[2, 1], [3, 4], [1, 0], [2, 1], [2, 1]])
    np.testing.assert_array_equal(found.candidates, [6, 3, 3, 5, 6])


def test_missing_slots_repeat_the_last_eligible_key():
    keys = np.float32([[5], [0], [9], [1]])
    excluded = np.array([[0, 0], [2, 4], [0, 2], [0, 3]])
    found = ExactIndex(keys).search(np.float32([[0]] * 4), k=6, excluded=excluded)
    np.testing.assert_array_equal(
        found.rows, [[1, 3, 0, 2, 3, 3], [1, 0, 1, 1, 1, 1], [3, 2, 3, 3, 3, 3], [3, 3, 3, 3, 3, 3]]
    )
    np.testing.assert_array_equal(found.candidates, [4, 2, 2, 1])


@settings(max_examples=200)
@given(st.data())
def test_any_small_search_equals_brute_force(data):
    search = drawn_search(data)
    small = {"QUERY_TILE": data.draw(st.integers(1, 9)), "KEY_TILE": data.draw(st.sampled_from([8, 16, 64]))}
    with sizes(**small, SPARE=data.draw(st.sampled_from([0, 8, 1024]))):
        found = ExactIndex(search.keys, search.metric, threads=2).search(search.queries, search.k, search.excluded)
    np.testing.assert_array_equal(found.rows, search.answer())


def test_a_pool_queried_leave_one_episode_out_equals_brute_force():
    rng = np.random.default_rng(0)
    keys = trajectories(rng, episodes=40)
    sample = rng.choice(len(keys), size=150, replace=False)
    start = sample // 100 * 100
    excluded = np.stack([start, start + 100], axis=1)
    for k in (1, 19, 100):
        found = ExactIndex(keys).search(keys[sample], k, excluded)
        np.testing.assert_array_equal(found.rows, brute_force(keys, keys[sample], k, excluded))


@pytest.mark.parametrize(
    ("n", "d", "k"), [(1500, 1, 7), (1030, 148, 50), (700, 512, 20), (1100, 3, 549), (1100, 3, 1100)]
)
def test_other_shapes_equal_brute_force(n, d, k):
    rng = np.random.default_rng(n)
    keys, queries = (rng.integers(0, 6, size=(m, d)).astype(np.float32) for m in (n, 20))
    np.testing.assert_array_equal(ExactIndex(keys).search(queries, k).rows, brute_force(keys, queries, k))


def float32_expansion(keys, queries, k):
    """What a plain |x|^2 + |y|^2 - 2xy in float32 would answer."""
    squares = (keys**2).sum(axis=1)
    return np.argsort((queries**2).sum(axis=1)[:, None] + squares - 2 * queries @ keys.T, axis=1, kind="stable")[:, :k]


def far_clusters(rng):
    """Two dense clusters so far apart that no centre helps: float32 scores inside a cluster are noise."""
    keys = np.where(rng.random((4000, 1)) < 0.5, -1e4, 1e4) + 0.01 * rng.normal(size=(4000, 20))
    return keys.astype(np.float32), keys[::100].astype(np.float32)


def test_clusters_beyond_a_float32_product_are_searched_about_their_own_centres():
    keys, queries = far_clusters(np.random.default_rng(1))
    right = brute_force(keys, queries, 30)
    index = ExactIndex(keys)
    with counted("full_scan") as scanned:
        found = index.search(queries, 30)
    np.testing.assert_array_equal(found.rows, right)
    assert scanned == []
    assert {len(crowd.rows) for crowd in index.crowds} == {(keys[:, 0] < 0).sum(), (keys[:, 0] > 0).sum()}
    assert (float32_expansion(keys, queries, 30) != right).mean() > 0.9


def test_distances_that_no_float32_number_can_tell_apart_are_ordered_in_float64():
    rng = np.random.default_rng(11)
    steps = rng.integers(-4000, 4000, size=(1000, 20))  # in units of 2^-10: squared distances of about 2^27 units
    steps[:, 0] = rng.permuted(np.tile([0, 1, 2, 3], 250))
    steps = np.concatenate([np.roll(steps, 3 * turn, axis=1) for turn in range(4)])
    steps[np.arange(4000), np.arange(4000) // 1000 * 3] += rng.integers(0, 2, size=4000)  # moves them by 1 to 7 units
    keys = np.concatenate([1e4 + steps / 1024, -1e4 + steps[::-1] / 1024]).astype(np.float32)
    shifts = np.arange(-20, 20) / 1024
    queries = np.concatenate([1e4 + shifts, -1e4 + shifts])[:, None].repeat(20, axis=1).astype(np.float32)
    rounded = np.square(keys[:, None] - queries).sum(axis=2).T
    for k in (1, 2, 3):
        right = brute_force(keys, queries, k)
        with counted("full_scan") as scanned:
            np.testing.assert_array_equal(ExactIndex(keys).search(queries, k).rows, right)
        assert scanned == []
        assert (right != np.argsort(rounded, axis=1, kind="stable")[:, :k]).any()


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_more_ties_than_a_shortlist_holds_are_scanned_in_float64(metric):
    corners = 1 - 2 * (np.arange(4096)[:, None] >> np.arange(12) & 1)
    keys = np.append(corners, np.ones((4096, 1)), axis=1).astype(np.float32)
    queries = np.eye(13, dtype=np.float32)[-1:].repeat(9, axis=0)  # equally near to every corner
    queries[4] += keys[17]
    with counted("full_scan") as served:
        found = ExactIndex(keys, metric).search(queries, 20)
    np.testing.assert_array_equal(found.rows, brute_force(keys, queries, 20, metric=metric))
    assert sum(served) == 8


def test_a_large_common_offset_needs_no_full_scan():
    rng = np.random.default_rng(2)
    keys = (1e6 + 10 * rng.normal(size=(3000, 20))).astype(np.float32)
    queries = keys[::100] + np.float32(0.5)
    with counted("_from_long_lists", 1) as served:
        found = ExactIndex(keys).search(queries, 30)
    right = brute_force(keys, queries, 30)
    np.testing.assert_array_equal(found.rows, right)
    assert served == []
    assert (float32_expansion(keys, queries, 30) != right).mean() > 0.9


def test_one_far_outlier_does_not_loosen_the_bound_of_the_other_keys():
    rng = np.random.default_rng(3)
    keys = rng.normal(size=(3000, 20)).astype(np.float32)
    keys[1234] = 300
    with counted("_from_long_lists", 1) as served:
        found = ExactIndex(keys).search(keys[::100], 30)
    np.testing.assert_array_equal(found.rows, brute_force(keys, keys[::100], 30))
    assert served == []


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_crowd_of_equal_keys_needs_no_scan_and_comes_back_in_key_order(metric):
    rng = np.random.default_rng(4)
    keys = rng.normal(size=(8000, 5)).astype(np.float32)
    keys[rng.random(8000) < 0.5] = keys[0]
    keys[rng.random(8000) < 0.1] = keys[1]
    queries = np.concatenate([keys[:20], rng.normal(size=(20, 5)).astype(np.float32)])
    start = rng.integers(0, 7000, size=40)
    excluded = np.stack([start, start + rng.integers(0, 1000, size=40)], axis=1)
    with counted("_from_long_lists", 1) as served:
        found = ExactIndex(keys, metric).search(queries, 50, excluded)
    np.testing.assert_array_equal(found.rows, brute_force(keys, queries, 50, excluded, metric))
    assert served == []


def test_signed_zeros_are_equal_keys():
    keys = np.float32([[0.0, 1], [-0.0, 1], [0.0, 2]])
    np.testing.assert_array_equal(ExactIndex(keys).search(keys[1:2], 3).rows, [[0, 1, 2]])


def test_equal_distances_of_different_keys_interleave_by_row():
    keys = np.float32([[1], [-1], [1], [-1], [5], [1]])
    found = ExactIndex(keys).search(np.float32([[0], [0]]), 4, np.array([[0, 0], [0, 2]]))
    np.testing.assert_array_equal(found.rows, [[0, 1, 2, 3], [2, 3, 5, 4]])


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-20, 1.0, 1e18, 1e37])
def test_scales_at_both_ends_of_float32_are_exact(scale):
    rng = np.random.default_rng(5)
    keys, queries = ((rng.integers(-9, 10, size=(m, 4)) * scale).astype(np.float32) for m in (1500, 30))
    np.testing.assert_array_equal(ExactIndex(keys).search(queries, 60).rows, brute_force(keys, queries, 60))


def test_queries_far_from_every_key_are_exact():
    rng = np.random.default_rng(6)
    keys = rng.normal(size=(1500, 4)).astype(np.float32)
    queries = (rng.normal(size=(30, 4)) * 10.0 ** np.arange(30)[:, None]).astype(np.float32)
    np.testing.assert_array_equal(ExactIndex(keys).search(queries, 60).rows, brute_force(keys, queries, 60))


def test_identical_keys_are_returned_in_key_order():
    keys = np.full((3000, 3), np.float32(0.1))
    found = ExactIndex(keys).search(np.float32([[0.1, 0.1, 0.1], [7, 7, 7]]), 5)
    np.testing.assert_array_equal(found.rows, [[0, 1, 2, 3, 4]] * 2)


def test_the_score_tile_brackets_the_true_score():
    rng = np.random.default_rng(7)
    keys = (rng.normal(size=(64, 30)) * np.geomspace(1e-3, 1e3, 64)[:, None] + 5).astype(np.float32)
    queries = (rng.normal(size=(16, 30)) * np.geomspace(1e-2, 1e4, 16)[:, None]).astype(np.float32)
    packed = panels.pack_panels(keys)
    assert len(packed.tiles) == 1
    side = panels.score_side(queries, packed)
    in_key_order = packed.tiles[0].reshape(32, panels.GROUP, -1).swapaxes(1, 2).reshape(32, -1)[:, :64]
    low = (side.left @ in_key_order).astype(np.float64)
    high = low + 2 * side.widths.astype(np.float64)[:, None] * packed.norms
    a, b = (queries - packed.centre) * packed.scale, (keys - packed.centre) * packed.scale
    true = (b * b).sum(axis=1) - 2 * a @ b.T
    assert (low - side.pads[:, None] <= true).all()
    assert (true <= high + side.pads[:, None]).all()


def test_threads_batches_and_tiles_change_no_result():
    rng = np.random.default_rng(8)
    keys = trajectories(rng, episodes=30)
    queries = trajectories(rng, episodes=7)
    excluded = np.sort(rng.integers(0, len(keys), size=(len(queries), 2)), axis=1)
    excluded[excluded[:, 1] - excluded[:, 0] > 2900] = 0
    whole = ExactIndex(keys, threads=1).search(queries, 40, excluded)
    for threads in (2, 5):
        again = ExactIndex(keys, threads=threads).search(queries, 40, excluded)
        np.testing.assert_array_equal(again.rows, whole.rows)
    parts = [ExactIndex(keys).search(queries[i : i + 123], 40, excluded[i : i + 123]) for i in range(0, 700, 123)]
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), whole.rows)
    np.testing.assert_array_equal(np.concatenate([part.candidates for part in parts]), whole.candidates)
    for query_tile, key_tile, spare in ((7, 64, 1024), (512, 2048, 1024), (64, 512, 0)):
        with sizes(QUERY_TILE=query_tile, KEY_TILE=key_tile, SPARE=spare):
            np.testing.assert_array_equal(ExactIndex(keys).search(queries, 40, excluded).rows, whole.rows)


def test_searches_from_several_threads_and_after_a_fork_agree():
    rng = np.random.default_rng(10)
    keys, queries = (rng.normal(size=(3000, 39)).astype(np.float32) for _ in range(2))
    index = ExactIndex(keys, threads=3)
    right = index.search(queries, 10).rows
    with ThreadPoolExecutor(3) as pool:
        for again in pool.map(lambda _: index.search(queries, 10).rows, range(6)):
            np.testing.assert_array_equal(again, right)
    child = os.fork()
    if child == 0:
        os._exit(0 if (index.search(queries, 10).rows == right).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_queries_give_an_empty_answer():
    found = ExactIndex(np.zeros((3, 2), np.float32)).search(np.zeros((0, 2), np.float32), 2)
    assert found.rows.shape == (0, 2)
    assert found.candidates.shape == (0,)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (np.zeros((0, 2), np.float32), "at least one row"),
        (np.zeros((2, 0), np.float32), "at least one row"),
        (np.zeros(3, np.float32), "1-d"),
        (np.zeros((3, 2)), "float64"),
        (np.float32([[0, 1], [0, np.nan]]), "row 1"),
        (np.float32([[np.inf, 1]]), "row 0"),
    ],
)
def test_bad_keys_are_refused_with_what_was_found(keys, words):
    with pytest.raises(ValueError, match=words):
        ExactIndex(keys)


@pytest.mark.parametrize(
    ("queries", "k", "excluded", "words"),
    [
        (np.zeros((2, 3), np.float32), 1, None, "wanted 2 columns"),
        (np.zeros((2, 2)), 1, None, "float64"),
        (np.float32([[0, 0], [np.nan, 0]]), 1, None, "row 1"),
        (np.zeros((2, 2), np.float32), 0, None, "at least 1, found 0"),
        (np.zeros((2, 2), np.float32), 1, np.zeros((1, 2), np.int64), "shape"),
        (np.zeros((2, 2), np.float32), 1, np.zeros((2, 2)), "float64"),
        (np.zeros((2, 2), np.float32), 1, np.array([[0, 0], [2, 1]]), "query 1"),
        (np.zeros((2, 2), np.float32), 1, np.array([[-1, 0], [0, 0]]), "query 0"),
        (np.zeros((2, 2), np.float32), 1, np.array([[0, 0], [3, 5]]), "<= 4"),
        (np.zeros((2, 2), np.float32), 1, np.array([[0, 0], [0, 4]]), "query 1 excludes all 4"),
    ],
)
def test_a_bad_search_is_refused_with_what_was_found(queries, k, excluded, words):
    with pytest.raises(ValueError, match=words):
        ExactIndex(np.zeros((4, 2), np.float32)).search(queries, k, excluded)


def test_threads_below_one_are_refused():
    with pytest.raises(ValueError, match="threads"):
        ExactIndex(np.zeros((4, 2), np.float32), threads=0)


def test_an_unknown_metric_or_device_is_refused_with_what_is_there():
    keys = np.zeros((4, 2), np.float32)
    with pytest.raises(InvalidInput, match="no metric named ip"):
        ExactIndex(keys, "ip")
    for device in ("tpu", "cuda:", "cuda:one", "cpu:0"):
        with pytest.raises(InvalidInput, match=f"wanted cpu, cuda or cuda:N, found {device}"):
            ExactIndex(keys, device=device)
    with pytest.raises(InvalidInput, match="cuda:99 was asked for"):
        ExactIndex(keys, device="cuda:99")
