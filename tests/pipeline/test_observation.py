"""The arrays of an observation by name."""

from __future__ import annotations

import numpy as np

from pipeline.observation import observation_arrays


def test_a_single_array_has_the_name_that_is_given():
    array = np.arange(3)
    assert observation_arrays(array)[""] is array
    assert observation_arrays(array, "observation")["observation"] is array


def test_nested_names_are_joined_by_a_slash():
    nested = {"hand": {"left": 1, "right": [2, 3]}, "screen": np.zeros((2, 2), np.uint8)}
    assert list(observation_arrays(nested)) == ["hand/left", "hand/right", "screen"]
    found = observation_arrays(nested, "observation")
    assert list(found) == ["observation/hand/left", "observation/hand/right", "observation/screen"]
    np.testing.assert_array_equal(found["observation/hand/right"], [2, 3])
