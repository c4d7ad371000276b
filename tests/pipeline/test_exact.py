"""Numbers in another type: the same values, or none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.errors import InvalidInput
from pipeline.exact import exactly, one_array, one_number, rounded

TYPES = [
    np.bool_,
    *(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)),
    *map(np.dtype, ("f2", "f4", "f8")),
]


def cast_blindly(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        return array.astype(dtype)


ARRAYS = st.sampled_from(TYPES).flatmap(
    lambda dtype: st.one_of(
        arrays.arrays(dtype, st.integers(0, 4)),
        st.sampled_from([-1, 0, 1, 127, 128, 200, 2**24 + 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]).map(
            lambda number: cast_blindly(np.asarray([number]), dtype)
        ),
    )
)


@given(ARRAYS, st.sampled_from(TYPES))
def test_python_finds_the_same_numbers_in_an_exact_cast(array: np.ndarray, dtype: np.dtype):
    blind = cast_blindly(array, dtype)
    given_, cast = array.tolist(), blind.tolist()  # Python compares integers and floats as the numbers that they are
    same = all(a == b or (a != a and b != b) for a, b in zip(given_, cast, strict=True))
    found = exactly(array, dtype)
    assert (found is not None) == same
    if found is not None:
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, blind)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(2**53 + 1, "f8"), (200, "i1"), (-1, "u1"), (0.5, "i8"), (1e300, "f4"), (np.nan, "i8"), (np.inf, "i8"), (2, "?")],
)
def test_what_another_type_does_not_hold_is_none(value, dtype):
    assert exactly(np.asarray(value), dtype) is None


def test_rounding_loses_digits_but_makes_nothing_infinite_and_no_integer_of_a_fraction():
    np.testing.assert_array_equal(rounded(np.array([0.1, np.inf, np.nan]), "f4"), np.float32([0.1, np.inf, np.nan]))
    assert rounded(np.array([1e39]), "f4") is None
    assert rounded(np.array([0.7]), "i8") is None
    assert rounded(np.array([2**24 + 1]), "f4") is None
    np.testing.assert_array_equal(rounded(np.array([3.0]), "u1"), [3])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "i8"),
        ([True, 2], "i8"),
        ([1, 0.5], "f8"),
        ([np.float32(1), np.float64(0.1)], "f8"),
        ([np.uint64(5), np.int64(-1)], "f8"),
        ([np.uint64(2**60 + 1), np.int64(-1)], "i8"),
        ([5, 2**63 + 1], "u8"),
        ([2**53 + 1, 1.0], "i8"),
        ([np.longdouble(1), np.longdouble(2)], "f8"),
        ([[1, 2], np.float32([0.5, 1])], "f8"),
    ],
)
def test_numbers_of_several_types_share_one_that_holds_all_of_them(values, dtype):
    array = one_array(values)
    assert array is not None
    assert array.dtype == dtype
    for row, value in zip(array.tolist(), values, strict=True):
        assert row == np.asarray(value).tolist()


@pytest.mark.parametrize(
    "values",
    [
        [2**53 + 1, 0.5],
        [-1, 2**63 + 1],
        [1, 2**64],
        ["a", "b"],
        [[1], [1, 2]],
        [[[1], [1, 2]]],
        [[2**53 + 1, 0.5]],
        [None, 1],
        [1, [1]],
    ],
)
def test_what_no_type_holds_is_no_array(values):
    assert one_array(values) is None


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**53 + 2, np.uint64(2**63), [2**60], True])
def test_a_number_is_a_float_where_that_is_the_same_number(value):
    assert one_number(value, "reward") == np.asarray(value).item()


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, np.uint64(2**64 - 1), [2**60 + 1], 10**400])
def test_a_whole_number_that_no_float_is_is_refused(value):
    with pytest.raises(InvalidInput, match="reward"):
        one_number(value, "reward")
