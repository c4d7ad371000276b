"""Exact statistics in little memory."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.formats.lerobot.statistics import number_statistics

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int16", "int64", "uint8", "uint32"])
def test_blocks_have_the_statistics_of_the_whole(rng: np.random.Generator, dtype: str):
    whole = (
        (rng.normal(size=(1000, 2)) * 50).astype(dtype)
        if dtype[0] != "u"
        else rng.integers(0, 200, (1000, 2)).astype(dtype)
    )
    whole[:300, 1] = whole[0, 1]
    blocks = number_statistics(lambda: np.split(whole, [1, 400, 977]), 1000)
    assert blocks is not None
    for found in (blocks, number_statistics(lambda: [whole], 1000)):
        exact = whole.astype(np.float64)
        np.testing.assert_array_equal(found["min"], exact.min(0))
        np.testing.assert_array_equal(found["max"], exact.max(0))
        np.testing.assert_allclose(found["mean"], exact.mean(0))
        np.testing.assert_allclose(found["std"], exact.std(0))
        for name, share in QUANTILES.items():
            np.testing.assert_allclose(found[name], np.quantile(exact, share, axis=0))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_none_have_no_statistics(bad: float):
    assert number_statistics(lambda: [np.array([[1.0, bad], [1.0, -bad]])], 2) is None
