"""The search in torch gives the rows of the CPU's, whatever its tiles; on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.search import device, device_order, index
from pipeline.search.index import ExactIndex
from tests.pipeline.search.brute import brute_force, drawn_search

DEVICES = ["torch-cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@contextmanager
def sizes(**constants: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in constants.items():
            module = {"DEVICE_WORK": index, "COLUMNS": device_order}.get(name, device)
            patch.setattr(module, name, value)
        yield


@contextmanager
def counted(owner: type, method: str) -> Iterator[list[int]]:
    """Lists how many queries each call of this method served."""
    original, served = getattr(owner, method), []

    def spy(self, *arguments):
        served.append(len(arguments[0] if method == "rank_all" else arguments[-1]))
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, spy)
        yield served


@settings(max_examples=80)
@given(st.data())
def test_any_small_search_equals_brute_force(data):
    search = drawn_search(data)
    group = data.draw(st.sampled_from([2, 8, 32]))
    with sizes(
        GROUP=group,
        KEY_TILE=group * data.draw(st.integers(1, 4)),
        QUERY_TILE=data.draw(st.integers(1, 9)),
        RANK_TILE=data.draw(st.integers(1, 9)),
        COLUMNS=data.draw(st.integers(1, 4)),
        MEMORY=data.draw(st.sampled_from([1, 1 << 30])),
    ):
        found = ExactIndex(search.keys, search.metric, device="torch-cpu").search(
            search.queries, search.k, search.excluded
        )
    np.testing.assert_array_equal(found.rows, search.answer())


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("values", ["normal", "integers", "copies"])
def test_rows_are_those_of_the_cpu(name, metric, values):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4000, 24)) + 2
    if values == "integers":
        vectors = np.round(vectors)
    if values == "copies":
        vectors[rng.random(4000) < 0.5] = vectors[7]
    keys, queries = vectors[:3700].astype(np.float32), vectors[3400:].astype(np.float32)
    start = rng.integers(0, 3000, size=600)
    excluded = np.stack([start, start + rng.integers(0, 700, size=600)], axis=1)
    right = ExactIndex(keys, metric).search(queries, 30, excluded)
    with sizes(DEVICE_WORK=0, KEY_TILE=1024, QUERY_TILE=128, RANK_TILE=300):
        found = ExactIndex(keys, metric, device=name).search(queries, 30, excluded)
    np.testing.assert_array_equal(found.rows, right.rows)
    np.testing.assert_array_equal(found.candidates, right.candidates)


@pytest.mark.parametrize("name", DEVICES)
def test_what_float32_cannot_decide_goes_to_float64_and_what_that_cannot_to_a_scan(name):
    rng = np.random.default_rng(1)
    keys = (np.where(rng.random((3000, 1)) < 0.5, -1e4, 1e4) + 0.01 * rng.normal(size=(3000, 20))).astype(np.float32)
    with (
        sizes(DEVICE_WORK=0),
        counted(device.DeviceSearch, "_proven") as products,
        counted(device_order.DeviceOrder, "rank_all") as scans,
    ):
        found = ExactIndex(keys, device=name).search(keys[::100], 30)
        assert (products, scans) == ([30, 30, 30], [])
        np.testing.assert_array_equal(found.rows, brute_force(keys, keys[::100], 30))
        ties = np.eye(1600, dtype=np.float32)
        found = ExactIndex(ties, device=name).search(ties[:5], 10)
        assert sum(scans) == 5
        np.testing.assert_array_equal(found.rows, brute_force(ties, ties[:5], 10))


@pytest.mark.parametrize("setting", ["high", "medium", "contradictory"])
def test_what_the_caller_allows_of_low_precision_is_suspended_and_restored(setting):
    rng = np.random.default_rng(2)
    keys, queries = (rng.normal(size=(m, 64)).astype(np.float32) for m in (800, 50))
    before = torch.get_float32_matmul_precision()
    backend = torch.backends.cuda.matmul
    try:
        if setting == "contradictory":
            if not hasattr(backend, "fp32_precision"):
                pytest.skip("this torch has one setting only")
            backend.fp32_precision = "tf32"
        else:
            torch.set_float32_matmul_precision(setting)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = ExactIndex(keys, device="torch-cpu").search(queries, 20)
            assert torch.is_autocast_enabled("cpu")
        if setting == "contradictory":
            assert backend.fp32_precision == "tf32"
        else:
            assert torch.get_float32_matmul_precision() == setting
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found.rows, brute_force(keys, queries, 20))


def test_products_that_round_their_factors_are_noticed(monkeypatch):
    exact = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b: exact(a.bfloat16(), b.bfloat16()).float())
    with pytest.raises(PipelineError, match="TF32 or bfloat16"):
        ExactIndex(np.eye(50, dtype=np.float32), device="torch-cpu").search(np.eye(50, dtype=np.float32), 3)


def test_small_searches_leave_the_gpu_alone(monkeypatch):
    monkeypatch.setattr(index, "_torch_device", lambda name: torch.device("cuda"))  # without one, using it would fail
    keys = np.float32([[0], [1], [3]])
    np.testing.assert_array_equal(ExactIndex(keys, device="cuda").search(keys, 2).rows, [[0, 1], [1, 0], [2, 1]])
