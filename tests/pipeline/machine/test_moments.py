"""Exact sums against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipeline.machine.moments import ExactMoments


@settings(max_examples=60)
@given(
    npst.arrays(
        np.float64,
        st.tuples(st.integers(1, 40), st.integers(1, 3)),
        elements=st.floats(-1e150, 1e150, allow_subnormal=True) | st.floats(-2, 2),
    ),
    st.integers(1, 4),
)
def test_means_and_deviations_are_those_of_fractions(values, pieces):
    moments = ExactMoments(values.shape[1])
    for block in np.array_split(values, pieces):
        moments.add(block)
    means, deviations = moments.means_and_deviations()
    for column in range(values.shape[1]):
        exact = [Fraction(value) for value in values[:, column].tolist()]
        mean = sum(exact) / len(exact)
        assert means[column] == float(mean)
        variance = sum((value - mean) ** 2 for value in exact) / len(exact)
        scale = Fraction(4) ** 1100  # float64 has no room for the squares of its smallest numbers
        wanted = Fraction(math.isqrt(math.floor(variance * scale))) / Fraction(2) ** 1100
        assert math.isclose(deviations[column], float(wanted), rel_tol=1e-15)


def test_a_large_offset_hides_no_deviation():
    values = np.arange(1000, dtype=np.float32)[:, None] / 1000 + 2**20
    moments = ExactMoments(1)
    moments.add(values)
    exact = [Fraction(value) for value in values[:, 0].tolist()]
    mean = sum(exact) / 1000
    wanted = math.sqrt(float(sum((value - mean) ** 2 for value in exact) / 1000))
    assert moments.means_and_deviations()[1][0] == pytest.approx(wanted, rel=1e-15)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_mean(value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        ExactMoments(1).add(np.array([[1.0], [value]]))
