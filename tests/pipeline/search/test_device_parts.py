"""What the search in torch stands on: copies, the pool, TF32's bound, the order of near scores."""

import numpy as np
import pytest
import torch

from pipeline.search import device_copies, device_pool
from pipeline.search.device_copies import first_not_finite_row, sent
from pipeline.search.device_order import DeviceOrder
from pipeline.search.device_side import DOUBLE, SINGLE, TF32, left_side, placement, right_side, to_tf32
from pipeline.search.pool import distinct
from pipeline.search.vectors import unit_vectors
from tests.pipeline.search.brute import units

CPU = torch.device("cpu")


def drawn(kind: str, n: int = 60, d: int = 21) -> np.ndarray:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, d))
    if kind == "outlier":
        vectors[0] *= 1e10
    if kind == "centre":
        vectors[1:] = vectors[0]
        vectors[-1] += 1e-6
    if kind == "copies":
        vectors = vectors[rng.integers(0, n // 3, n)] * np.where(rng.random((n, 1)) < 0.2, -0.0, 1.0)
    return vectors.astype(np.float32)


def in_tensor_cores(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Sums of eight products and what was there, each cut off at 24 bits of the largest of them."""
    total = torch.zeros(len(left), len(right), dtype=torch.float64)
    for j in range(0, left.shape[1], 8):
        terms = left[:, None, j : j + 8].double() * right[None, :, j : j + 8].double()
        terms = torch.cat([terms, total[:, :, None]], dim=2)
        step = torch.exp2(terms.abs().amax(dim=2, keepdim=True).clamp(min=1e-300).log2().floor() - 23)
        total = ((terms / step).trunc() * step).sum(dim=2)
        total = total.float().double()
    return total


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("kind", ["noise", "outlier", "centre"])
@pytest.mark.parametrize("grade", [TF32, SINGLE, DOUBLE], ids=lambda grade: grade.name)
def test_products_bound_the_scores_also_where_tensor_cores_cut_sums_off(grade, kind, metric):
    keys = drawn(kind)
    queries = torch.from_numpy(np.concatenate([keys[:5], drawn("noise", 9) * 3, keys.mean(0, keepdims=True)]))
    pool = device_pool.device_pool(keys, metric == "cosine", CPU)
    if metric == "cosine":
        queries = device_pool.unit_rows(queries)
    place = placement(pool)
    side = right_side(pool, place, grade, 8)
    sides = left_side(side, queries)
    lows = in_tensor_cores(sides.left, side.right) if grade.coarse else (sides.left @ side.right.T).double()
    lows, norms = lows[:, : len(pool)], side.norms[: len(pool)].double()
    a, b = place.moved(queries), place.moved(pool.vectors)
    scores = b.square().sum(1) - 2 * a @ b.T
    if metric == "cosine":
        scores += (1 - pool.vectors.double().square().sum(1)) * place.scale**2
    slack = 1e-12 * (a.norm(dim=1)[:, None] + b.norm(dim=1)) ** 2
    assert (lows <= scores + slack).all()
    assert (scores <= lows + 2 * sides.widths.double()[:, None] * norms + slack).all()
    if grade.coarse:
        assert torch.equal(to_tf32(sides.left), sides.left)
        assert torch.equal(to_tf32(side.right), side.right)


def test_tf32_numbers_are_the_nearest_of_eleven_bits():
    values = np.random.default_rng(0).normal(size=500).astype(np.float32)
    mantissa, exponent = np.frexp(values.astype(np.float64))
    nearest = np.ldexp(np.round(mantissa * 2**11), exponent - 11)  # ties to even
    np.testing.assert_array_equal(to_tf32(torch.from_numpy(values)).numpy(), nearest.astype(np.float32))
    assert to_tf32(torch.tensor([1e-30, 1 + 2.0**-11, 3e38])).tolist()[:2] == [0.0, 1.0]


@pytest.mark.parametrize("cosine", [False, True])
def test_the_pool_on_a_device_is_the_processors_also_where_hashes_agree(cosine, monkeypatch):
    keys = drawn("copies")
    right = distinct(unit_vectors(keys) if cosine else keys, cosine)
    hashes = device_pool._hashes
    monkeypatch.setattr(
        device_pool, "_hashes", lambda vectors, seed: hashes(vectors, seed) % (1 if seed < 2 else 2**40)
    )
    monkeypatch.setattr(device_pool, "BLOCK", 100)
    found = device_pool.device_pool(keys, cosine, CPU)
    for name in ("vectors", "members", "starts", "firsts", "lasts"):
        np.testing.assert_array_equal(getattr(found, name).numpy(), getattr(right, name))
    ranges = np.array([[0, 60], [3, 20], [7, 7]])
    np.testing.assert_array_equal(found.spans(ranges), right.spans(ranges))
    np.testing.assert_array_equal(device_pool.unit_rows(sent(keys, CPU)).numpy(), units(keys))


def test_scores_known_to_half_a_millionth_decide_and_what_they_leave_open_is_added_in_order(monkeypatch):
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(40, 35)).astype(np.float32)
    keys[7] = keys[3] * np.float32(1 + 1e-7)
    order = DeviceOrder(device_pool.device_pool(keys, False, CPU), 1 << 20)
    served = []
    exact = order._exact
    monkeypatch.setattr(order, "_exact", lambda *asked: served.append(len(asked[1])) or exact(*asked))
    queries = torch.zeros(2, 35)
    listed = torch.arange(40).repeat(2, 1)
    rows = order.rank(queries, listed, torch.tensor([40, 40]), torch.zeros(2, 2, dtype=torch.int64), 40)
    scores = np.zeros(40)
    for column in keys.T.astype(np.float64):
        scores += column**2
    np.testing.assert_array_equal(rows[0], np.argsort(scores, kind="stable"))
    assert served == [4]  # the two that lie close together, for each query


def test_the_first_row_that_is_not_finite_is_found_by_pieces(monkeypatch):
    monkeypatch.setattr(device_copies, "PIECE", 64)
    vectors = np.zeros((50, 4), np.float32)
    assert first_not_finite_row(vectors) == -1
    assert first_not_finite_row(vectors[:0]) == -1
    vectors[[31, 33], 2] = np.nan, np.inf
    assert first_not_finite_row(vectors) == 31
    vectors[30, 0] = -np.inf
    assert first_not_finite_row(vectors) == 30
