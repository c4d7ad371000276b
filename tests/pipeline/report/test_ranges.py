"""Ranges of arrays, against plain numpy on the whole."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.report.ranges import range_of


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float16, np.bool_])
def test_a_range_is_that_of_the_whole_array(rng: np.random.Generator, dtype: type):
    array = (rng.random((50, 4, 3)) * 100).astype(dtype)
    array[:, 1, 2] = array[0, 1, 2]
    found = range_of("a", (4, 3), array.dtype, [array[:7], array[7:8], array[8:]])
    flat = array.reshape(50, 12)
    assert (found.min, found.max) == (array.min(), array.max())
    assert found.mean == pytest.approx(array.astype(np.float64).mean(), rel=1e-8)
    assert found.constant == int((flat == flat[0]).all(0).sum()) >= 1
    assert (found.columns, found.not_finite) == (12, 0)


def test_numbers_that_are_not_finite_are_counted_and_left_out():
    array = np.array([[1.0, np.inf, 2.0], [np.nan, np.inf, 2.0]])
    found = range_of("a", (3,), array.dtype, [array[:1], array[1:]])
    assert (found.min, found.mean, found.max) == (1.0, 1.66666667, 2.0)
    assert (found.constant, found.not_finite) == (1, 3)
    nothing = range_of("a", (1,), array.dtype, [array[:, 1:2]])
    assert (nothing.min, nothing.mean, nothing.max, nothing.constant, nothing.not_finite) == (None, None, None, 0, 2)


@pytest.mark.parametrize("wide", [np.int64(2**62), np.uint64(2**63)])
def test_a_mean_of_wide_integers_goes_round_no_corner(wide):
    array = np.full((40, 2), wide)
    assert range_of("a", (2,), array.dtype, [array]).mean == pytest.approx(float(wide), rel=1e-8)


def test_numbers_whose_sum_is_too_large_have_no_mean():
    for value in (1.7e308, -1.7e308):
        array = np.array([[value, -1.7e308]] * 30)
        found = range_of("a", (2,), array.dtype, [array[:10], array[10:]])
        assert (found.min, found.mean, found.max) == (-1.7e308, None, max(value, -1.7e308))
