"""Histograms that are counted block by block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.tallies import tally

NUMBERS = st.one_of(
    st.lists(st.integers(-300, 300).map(float), min_size=1, max_size=60),
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=60),
)


@given(NUMBERS, st.integers(1, 60), st.booleans(), st.integers(1, 48))
def test_every_number_is_in_one_bin_however_it_is_cut_into_blocks(numbers, cut: int, without_zeros: bool, bins: int):
    array = np.array(numbers)
    found = tally(lambda: [array[:cut], array[cut:]], bins, without_zeros)
    assert found == tally(lambda: [array], bins, without_zeros)
    counted = array[array != 0] if without_zeros else array
    assert sum(found.counts) == len(counted)
    assert len(found.counts) <= bins
    assert (found.entries, found.zeros) == (len(array), int((array == 0).sum()))
    if len(counted):
        assert found.low <= found.least == counted.min() <= counted.max() == found.largest <= found.high


@pytest.mark.parametrize(
    ("numbers", "counts", "low", "high"),
    [
        ([1, 3, 3], (1, 0, 2), 0.5, 3.5),
        ([4], (1,), 3.5, 4.5),
        ([0.5, 0.5], (0, 2), 0.25, 0.75),
        (list(range(8)), (3, 3, 2), -0.5, 8.5),
    ],
)
def test_bins_by_hand(numbers: list[float], counts: tuple[int, ...], low: float, high: float):
    found = tally(lambda: [np.array(numbers)], 2 if numbers == [0.5, 0.5] else 3)
    assert (found.counts, found.low, found.high) == (counts, low, high)


def test_numbers_that_are_not_finite_are_told_and_left_out():
    found = tally(lambda: [np.array([np.nan, 1.0, np.inf, 0.0])], 5)
    assert (found.not_finite, sum(found.counts), found.entries, found.zeros) == (2, 2, 4, 1)
    nothing = tally(lambda: [np.zeros((4, 2))], 5, without_zeros=True)
    assert (nothing.counts, nothing.zeros, nothing.entries) == ((), 8, 8)
