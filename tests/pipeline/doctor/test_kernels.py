"""Compiled passes against numpy."""

import numpy as np
import pytest

from pipeline.doctor.kernels import SAME, SAME_BEFORE, ZERO, ZERO_BEFORE, finals_of, spread_of, sums_of


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.uint64])
def test_last_rows_are_compared_with_those_before_them(dtype):
    large = np.iinfo(dtype).max if dtype == np.uint64 else 200  # and one less, which is the same as float64
    rows = np.array([[1, 2], [1, 2], [0, 0], [1, large - 1], [1, large], [1, large], [0, 0], [0, 0]], dtype)
    found = finals_of(rows, np.array([2, 5, 7]))
    assert found.tolist() == [ZERO | SAME_BEFORE, SAME, ZERO | ZERO_BEFORE | SAME]


def test_the_rows_that_are_not_used_are_summed_apart():
    rows = np.arange(12.0).reshape(6, 2)
    rows[5] = np.nan
    use = np.array([True, True, False, True, False, True])
    found = sums_of(rows[:5], use[:5], np.zeros(2))
    assert found.others == rows[[2, 4]].sum()
    np.testing.assert_array_equal(found.sums, rows[[0, 1, 3]].sum(axis=0))
    assert np.isnan(sums_of(rows, ~use | (np.arange(6) < 1), np.zeros(2)).others)


def test_mean_and_deviation_of_samples_are_those_of_numpy():
    rows = np.random.default_rng(0).normal(3, 2, (5, 8, 3)).astype(np.float32)
    mean, deviation = spread_of(rows)
    np.testing.assert_allclose(mean, rows.mean(axis=1, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(deviation, rows.std(axis=1, dtype=np.float64), rtol=1e-13)
