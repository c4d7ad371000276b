"""The search whose first stage multiplies bytes: its products, its bounds, and its rows against brute force."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.search import bytewise
from pipeline.search.bytes import byte_side, pack_bytes
from pipeline.search.index import ExactIndex
from pipeline.search.lists import OPEN
from pipeline.search.vnni import KEYS, LANES, QUERIES, has_vnni, sift
from tests.pipeline.search.brute import brute_force, drawn_search

pytestmark = pytest.mark.skipif(not has_vnni(), reason="this processor has no products of bytes")


@contextmanager
def forced(**constants: int) -> Iterator[list[tuple[int, int]]]:
    """Bytes for every pool; lists how many queries each search had, and how many of them bytes left."""
    original, served = bytewise.fill_by_bytes, []

    def spy(search, threads):
        left = original(search, threads)
        served.append((len(search.queries), len(left)))
        return left

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bytewise, "fill_by_bytes", spy)
        for name, value in {"NARROWEST": 1, "FEWEST": 1, "SHARE": 0, **constants}.items():
            patch.setattr(bytewise, name, value)
        yield served


def listed(keys, queries, cosine=False):
    """Of every key and query: the lower bound from bytes, and how far above it the score can be."""
    packed = pack_bytes(keys, cosine)
    side = byte_side(queries, packed)
    m, n = len(side.starts), len(keys)
    counts = np.zeros(m, dtype=np.int64)
    lows, places = np.empty((m, n + KEYS), dtype=np.float32), np.empty((m, n + KEYS), dtype=np.int32)
    limits = np.full(m, OPEN, dtype=np.float32)
    sift(side.codes, side.starts, side.asked, packed.codes, packed.facts, 0, limits, counts, lows, places)
    assert (counts == n).all()
    assert (places[:, :n] == np.arange(n)).all()
    facts = packed.facts.swapaxes(0, 1).reshape(4, -1)[:, :n].astype(np.float64)
    widths = -side.asked[:, 1:2].astype(np.float64) * facts[2] - side.asked[:, 2:].astype(np.float64) * facts[3]
    lower, width = np.empty((2, m, n))
    lower[:, packed.order], width[:, packed.order] = lows[:, :n], widths
    return packed, side, lower[: len(queries)], width[: len(queries)]


@pytest.mark.parametrize("d", [1, 3, 4, 5, 47, 600])
def test_products_of_bytes_are_those_of_the_integers(d):
    rng = np.random.default_rng(d)
    keys, queries = (
        rng.integers(0, 256, size=(2, -(-d // 4), KEYS, 4)),
        rng.integers(-127, 128, size=(1, -(-d // 4), QUERIES, 4)),
    )
    keys[0, 0], queries[0, 0] = 255, -127
    starts = rng.integers(-5000, 5000, size=QUERIES).astype(np.int32)
    facts = np.zeros((2, 4, KEYS), dtype=np.float32)
    facts[:, 0] = 1
    aligned = pack_bytes(np.zeros((2 * KEYS, d), np.float32))
    aligned.codes[:], aligned.facts[:] = keys, facts
    asked = np.tile(np.float32([1, 0, 0]), (QUERIES, 1))
    counts = np.zeros(QUERIES, dtype=np.int64)
    lows, places = (np.empty((QUERIES, 2 * KEYS + LANES), dtype) for dtype in (np.float32, np.int32))
    limits = np.full(QUERIES, OPEN)
    sift(queries.astype(np.int8), starts, asked, aligned.codes, aligned.facts, 7, limits, counts, lows, places)
    right = np.einsum("pskj,sqj->qpk", keys, queries[0]).reshape(QUERIES, -1) + starts[:, None]
    np.testing.assert_array_equal(lows[:, :-LANES], right.astype(np.float32))
    np.testing.assert_array_equal(places[:, :-LANES], np.tile(np.arange(7, 7 + 2 * KEYS), (QUERIES, 1)))


@pytest.mark.parametrize("cosine", [False, True])
def test_bounds_from_bytes_bracket_the_true_score(cosine):
    rng = np.random.default_rng(7)
    keys = (rng.normal(size=(100, 30)) * np.geomspace(1e-3, 1e3, 100)[:, None] + 5).astype(np.float32)
    queries = (rng.normal(size=(21, 30)) * np.geomspace(1e-2, 1e4, 21)[:, None]).astype(np.float32)
    keys[:9] = np.eye(30)[:9] * 1e3 + 5  # one large coordinate
    if cosine:
        keys, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (keys, queries))
    packed, side, low, width = listed(keys, queries, cosine)
    a, b = ((x - packed.centre) * packed.scale for x in (queries, keys))
    true = (b * b).sum(axis=1) + packed.offsets - 2 * a @ b.T
    pads = side.pads[:, None]
    assert (low - pads <= true).all()
    assert (true <= low + 2 * width + pads).all()
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    assert np.median(width / norms) < 0.05


def test_bounds_from_bytes_are_reached_where_rounding_points_along_the_other_vector():
    rng = np.random.default_rng(2)
    odd = rng.integers(-100, 100, size=(50, 64)) + 0.49  # all of it is rounded down, by the same amount
    odd[:, 0] = 127
    level = np.arange(1.0, 51)[:, None].repeat(64, axis=1)  # nothing of it is rounded
    for one, other in ((odd, level[:1]), (level, odd[:1])):
        keys, queries = np.concatenate([one, -one]).astype(np.float32), other.astype(np.float32)  # about zero
        packed, _, low, width = listed(keys, queries)
        a, b = ((x - packed.centre) * packed.scale for x in (queries, keys))
        true = (b * b).sum(axis=1) - 2 * a @ b.T
        above = (true - low) / (2 * width)  # where the true score lies between its bounds
        assert (np.abs(above - 0.5) <= 0.5).all()
        assert above.min() < 0.02
        assert above.max() > 0.98


@settings(max_examples=60)
@given(st.data())
def test_any_small_search_by_bytes_equals_brute_force(data):
    search = drawn_search(data)
    tiles = {"QUERY_TILE": data.draw(st.integers(1, 20)), "CHUNK": data.draw(st.integers(1, 3)), "FIRST": 1}
    with forced(**tiles, SPREAD=data.draw(st.sampled_from([0, 1, 3]))):
        found = ExactIndex(search.keys, search.metric, threads=2).search(search.queries, search.k, search.excluded)
    np.testing.assert_array_equal(found.rows, search.answer())


NASTY = {
    "noise": lambda rng, x: x,
    "large offset": lambda rng, x: 1e6 + 10 * x,
    "tiny": lambda rng, x: 1e-12 * x,
    "huge": lambda rng, x: 1e12 * x,
    "denormal": lambda rng, x: 1e-42 * x,
    "constant columns": lambda rng, x: np.where(np.arange(x.shape[1]) % 3, 7, x),
    "copies": lambda rng, x: x[rng.integers(0, len(x) // 3, size=len(x))],
    "ties": lambda rng, x: np.round(x),
    "one outlier": lambda rng, x: np.where(np.arange(len(x))[:, None] == 77, 300, x),
    "lengths": lambda rng, x: x * np.geomspace(1e-3, 1e3, len(x))[rng.permutation(len(x)), None],
    "two crowds": lambda rng, x: 1e-6 * x + np.where(rng.random((len(x), 1)) < 0.5, -1, 1),
    "one column": lambda rng, x: x[:, :1],
    "zeros among them": lambda rng, x: np.where(rng.random((len(x), 1)) < 0.3, 0, x),
}


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("kind", NASTY)
def test_nasty_pools_searched_by_bytes_equal_brute_force(kind, metric):
    rng = np.random.default_rng(3)
    vectors = NASTY[kind](rng, rng.normal(size=(1210, 50))).astype(np.float32)
    keys, queries = vectors[:1200], vectors[1190:]
    start = rng.integers(0, 900, size=len(queries))
    excluded = np.stack([start, start + rng.integers(0, 300, size=len(queries))], axis=1)
    with forced(QUERY_TILE=16):
        found = ExactIndex(keys, metric).search(queries, 30, excluded)
    np.testing.assert_array_equal(found.rows, brute_force(keys, queries, 30, excluded, metric))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_bytes_alone_decide_ordinary_pools(metric):
    rng = np.random.default_rng(4)
    keys, queries = (5 + rng.normal(size=(n, 64)).astype(np.float32) for n in (3000, 300))
    with forced() as served:
        found = ExactIndex(keys, metric).search(queries, 20)
    assert served == [(300, 0)]
    np.testing.assert_array_equal(found.rows[::10], brute_force(keys, queries[::10], 20, metric=metric))


def test_a_query_whose_limit_was_guessed_too_low_is_asked_again():
    rng = np.random.default_rng(5)
    keys, queries = (rng.normal(size=(n, 64)).astype(np.float32) for n in (3000, 100))
    original, asked = bytewise._answer, []

    def spy(search, lists, guessing):
        asked.append((guessing, len(search.queries)))
        return original(search, lists, guessing)

    with pytest.MonkeyPatch.context() as patch, forced(SPREAD=0) as served:  # about every other guess is too low
        patch.setattr(bytewise, "_answer", spy)
        found = ExactIndex(keys, threads=1).search(queries, 40)
    (first, second), ((_, left),) = asked, served
    assert (first, second[0]) == ((True, 100), False)
    assert 2 * left < second[1] < 100
    np.testing.assert_array_equal(found.rows, brute_force(keys, queries, 40))


def test_keys_too_much_alike_for_bytes_are_left_to_floats_and_bytes_are_dropped():
    rng = np.random.default_rng(6)
    keys = (np.where(rng.random((4000, 1)) < 0.5, -1, 1) + 1e-4 * rng.normal(size=(4000, 20))).astype(np.float32)
    index = ExactIndex(keys)
    with forced() as served:
        first, second = (index.search(keys[::100], 30).rows for _ in range(2))
    assert served == [(40, 40)]
    np.testing.assert_array_equal(first, brute_force(keys, keys[::100], 30))
    np.testing.assert_array_equal(second, first)


def test_queries_far_from_every_key_are_left_to_floats():
    rng = np.random.default_rng(8)
    keys = rng.normal(size=(1500, 4)).astype(np.float32)
    queries = (rng.normal(size=(40, 4)) * np.geomspace(1, 1e30, 40)[:, None]).astype(np.float32)
    with forced() as served:
        found = ExactIndex(keys).search(queries, 60)
    assert 0 < served[0][1] < 40
    np.testing.assert_array_equal(found.rows, brute_force(keys, queries, 60))


def test_threads_and_tiles_change_no_result_by_bytes():
    rng = np.random.default_rng(9)
    keys, queries = (rng.normal(size=(n, 24)).astype(np.float32) for n in (2000, 203))
    with forced() as served:
        whole = ExactIndex(keys, threads=1).search(queries, 17).rows
        for threads, tile in ((2, 256), (3, 9), (1, 1)):
            with forced(QUERY_TILE=tile):
                np.testing.assert_array_equal(ExactIndex(keys, threads=threads).search(queries, 17).rows, whole)
    assert served
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bytewise, "has_vnni", lambda: False)
        np.testing.assert_array_equal(ExactIndex(keys).search(queries, 17).rows, whole)


def test_queries_in_known_crowds_are_not_tried_by_bytes():
    rng = np.random.default_rng(10)
    keys = rng.normal(size=(6000, 32)) + 3
    still = rng.random(6000) < 0.5
    keys[still] = keys[0] * (1 + 1e-6 * rng.normal(size=(int(still.sum()), 32)))
    keys, queries = keys[:5900].astype(np.float32), keys[5900:].astype(np.float32)
    index = ExactIndex(keys)
    with forced() as served:
        first, second = (index.search(queries, 20).rows for _ in range(2))
    (_, left), (tried, undecided) = served
    assert (left > 40, tried < 60, undecided < 5) == (True, True, True)
    np.testing.assert_array_equal(first, brute_force(keys, queries, 20))
    np.testing.assert_array_equal(second, first)
