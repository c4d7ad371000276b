"""The arrays of an observation by name."""

from __future__ import annotations

import array
from collections import OrderedDict, deque

import numpy as np
import pytest
import torch

from pipeline.observation import NoData, info_copy, observation_arrays


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


class Window:
    """What NumPy reads, and its owner goes on writing into."""

    def __init__(self) -> None:
        self.data = np.zeros(2)

    def __array__(self, dtype=None, copy=None):
        return self.data


def filled(kind: str):
    """Something that holds zeros, and a function that fills it further."""
    window, numbers = Window(), np.zeros(2)
    made = {
        "array": (numbers, lambda: numbers.fill(9)),
        "view of an array": (memoryview(numbers), lambda: numbers.fill(9)),
        "list of arrays": ([numbers], lambda: numbers.fill(9)),
        "array of objects": (np.array([numbers, None], object), lambda: numbers.fill(9)),
        "tensor": (tensor := torch.zeros(2), lambda: tensor.fill_(9)),
        "tensor in a mapping": (OrderedDict(a={"b": tensor}), lambda: tensor.fill_(9)),
        "deque": (queue := deque([0.0, 0.0]), lambda: queue.append(9.0)),
        "deque in a tuple": ((queue,), lambda: queue.append(9.0)),
        "bytearray": (data := bytearray(2), lambda: data.__setitem__(0, 9)),
        "array of Python": (plain := array.array("f", [0, 0]), lambda: plain.__setitem__(0, 9)),
        "array-like": (window, lambda: window.data.fill(9)),
    }
    return made[kind]


KINDS = [
    "array",
    "view of an array",
    "list of arrays",
    "array of objects",
    "tensor",
    "tensor in a mapping",
    "deque",
    "deque in a tuple",
    "bytearray",
    "array of Python",
    "array-like",
]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_filled_further_does_not_change_its_copy(kind):
    value, fill = filled(kind)
    copy = info_copy(value)
    before = repr(copy)
    fill()
    assert repr(copy) == before
    assert "NoData" not in before


@pytest.mark.parametrize("value", [{1, 2}, object(), torch.zeros(2, requires_grad=True), iter([1]), {}.values()])
def test_what_cannot_be_copied_is_no_data_and_harms_nothing_beside_it(value):
    assert info_copy({"a": value, "b": [1]}) == {"a": NoData(type(value).__name__), "b": [1]}


def test_what_holds_itself_is_no_data():
    itself: dict[str, object] = {}
    itself["itself"] = [itself, itself]
    assert info_copy(itself) == NoData("dict")


def test_an_array_with_masked_values_is_no_data_because_they_are_no_numbers():
    assert isinstance(info_copy(np.ma.array([1, 2], mask=[False, True])), NoData)
    np.testing.assert_array_equal(info_copy(np.ma.array([1, 2])), [1, 2])
