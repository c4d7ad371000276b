"""What a recording takes from a step."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.live.copies import action_copy


@pytest.mark.parametrize(
    ("action", "dtype", "stored"),
    [
        (1, "u1", 1),
        (np.array([1, 0]), "u1", [1, 0]),
        (np.array([3, 100]), "i1", [3, 100]),
        (2.0, "i8", 2),
        ([0.1, -0.1], "f4", np.float32([0.1, -0.1])),
        (True, "i8", 1),
    ],
)
def test_an_action_is_stored_in_the_type_of_its_space(action, dtype, stored):
    copy = action_copy(action, np.dtype(dtype), np.shape(action))
    np.testing.assert_array_equal(copy, stored)
    assert copy.dtype == dtype


@pytest.mark.parametrize(
    ("action", "dtype"),
    [([3, 200], "i1"), (-1, "u1"), (0.7, "i8"), (1e39, "f4"), (2**24 + 1, "f4"), ("left", "i8"), (np.nan, "i8")],
)
def test_an_action_that_its_space_cannot_hold_is_refused(action, dtype):
    with pytest.raises(InvalidInput, match="which has no"):
        action_copy(action, np.dtype(dtype), np.shape(action))


def test_what_is_taken_is_a_copy():
    action = np.zeros(2, np.float32)
    copy = action_copy(action, action.dtype, (2,))
    action[:] = 1
    np.testing.assert_array_equal(copy, [0, 0])
