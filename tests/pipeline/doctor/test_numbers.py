"""Numbers that are none, and observations that never change, planted and found."""

import numpy as np
import pytest

from pipeline.doctor.block import moments_of
from tests.pipeline.doctor.planted import blocks, examined_made, found_in, healthy, walked


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "severity"), [("observation", "error"), ("action", "error"), ("info/speed", "warning")]
)
def test_a_number_that_is_none_is_found_where_it_is(name, severity, value):
    rng = np.random.default_rng(0)
    episodes = [walked(rng, steps={"info/speed": np.ones(9)}) for _ in range(6)]

    def change(arrays):
        arrays[f"steps/{name}"][9 + 4] = value

    found = found_in(episodes, change)["not_finite"]
    assert (found.severity, found.examples) == (severity, ("episode 1, row 4",))
    assert found.what.startswith(f"{name} holds {arrays_width(name)} value")
    assert "episode != 1" in found.command


def arrays_width(name):
    return {"observation": 3, "action": 2, "info/speed": 1}[name]


def test_huge_numbers_whose_sum_is_infinite_are_finite():
    def change(arrays):
        arrays["steps/observation"][:2] = np.finfo(np.float64).max

    assert "not_finite" not in found_in(healthy(), change)


def test_observations_that_are_all_the_same_are_an_error_and_single_columns_a_fact():
    def one(arrays):
        arrays["steps/observation"][:, 1] = 0.5

    def every(arrays):
        arrays["steps/observation"][:] = 0.5

    examination = examined_made(healthy(), one)
    assert examination.findings == []
    assert examination.facts["columns"]["observation"] == {"columns": 3, "constant": [1], "nearly": []}
    assert found_in(healthy(), every)["observations_constant"].severity == "error"


def test_a_column_in_which_one_number_is_another_is_nearly_constant():
    def change(arrays):
        arrays["steps/observation"][:, 2] = 1e7
        arrays["steps/observation"][5, 2] = 1e7 + 1

    many = healthy(count=4, length=60)
    facts = examined_made(many, change).facts["columns"]["observation"]
    assert facts["constant"] == []
    assert facts["nearly"] == []  # one of some hundred is more than a millionth of the range
    assert examined_made(many, lambda arrays: None).facts["columns"]["observation"]["nearly"] == []


def test_moments_of_blocks_are_those_of_all_states():
    episodes = healthy(count=7, length=30)
    joined = None
    for block in blocks(episodes):
        own = block.moments("observation")
        joined = own if joined is None else joined.joined(own)
    states = np.concatenate([each.steps["observation"][:-1] for each in episodes])
    np.testing.assert_allclose(joined.mean, states.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(joined.deviation, states.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(joined.least, states.min(axis=0))
    np.testing.assert_array_equal(joined.most, states.max(axis=0))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_moments_of_other_numbers_are_exact(dtype):
    rows = np.arange(40).reshape(10, 4).astype(dtype)
    use = np.arange(10) != 4
    found = moments_of(rows, use)
    np.testing.assert_allclose(found.mean, rows[use].mean(axis=0))
    np.testing.assert_allclose(found.deviation, rows[use].std(axis=0))
