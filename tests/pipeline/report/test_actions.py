"""Actions by name, by number, and by dimension."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.report.actions import MOST_CHOICES, MOST_DIMENSIONS, actions_of

INT64, FLOAT32 = np.dtype(np.int64), np.dtype(np.float32)


def test_discrete_actions_are_counted_by_name_those_never_taken_too():
    found = actions_of((), INT64, lambda: [np.array([0, 2, 2]), np.array([2])], {0: "NOOP", 1: "FIRE", 2: "UP"})
    assert [(each.name, each.count) for each in found.choices] == [("NOOP", 1), ("FIRE", 0), ("UP", 3)]
    assert found.named


def test_discrete_actions_without_names_go_by_their_numbers():
    found = actions_of((1,), INT64, lambda: [np.array([[3], [-1], [3]])], {})
    assert [(each.name, each.count) for each in found.choices] == [("-1", 1), ("3", 2)]


def test_too_many_choices_are_a_histogram():
    found = actions_of((), INT64, lambda: [np.arange(MOST_CHOICES + 1)], {})
    assert (found.choices, len(found.dimensions), sum(found.dimensions[0].counts)) == ((), 1, MOST_CHOICES + 1)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_each_dimension_has_its_own_histogram(shape: tuple[int, ...]):
    block = np.array([[0.5, 1], [1.5, 1], [2.5, 1]], np.float32).reshape(3, *shape)
    left, right = actions_of(shape, FLOAT32, lambda: [block[:1], block[1:]], {}).dimensions
    assert (left.least, left.largest, left.whole, sum(left.counts)) == (0.5, 2.5, False, 3)
    assert (right.least, right.largest, right.whole, right.counts) == (1, 1, True, (3,))


def test_many_dimensions_are_a_table():
    block = np.arange(2 * (MOST_DIMENSIONS + 1), dtype=np.float32).reshape(2, -1)
    found = actions_of((MOST_DIMENSIONS + 1,), FLOAT32, lambda: [block], {})
    assert not found.dimensions
    assert [(each.name, each.min, each.max) for each in found.ranges][:2] == [("0", 0, 17), ("1", 1, 18)]
