"""Actions of drawn spaces as one array, and taken apart again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.envs.gym.actions import FlatActions
from pipeline.errors import InvalidInput
from pipeline.policies.random import uniform_action

SHAPES = st.lists(st.integers(1, 3), max_size=2).map(tuple)
WHOLE = st.one_of(
    st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 5), st.integers(-3, 3)),
    st.builds(
        lambda sizes, dtype, start: spaces.MultiDiscrete(sizes, dtype, start=[start] * len(sizes)),
        st.lists(st.integers(1, 4), min_size=1, max_size=3),
        st.sampled_from([np.int64, np.int8]),
        st.integers(-2, 2),
    ),
    st.builds(spaces.MultiBinary, st.one_of(st.integers(1, 4), st.just((2, 2)))),
    st.builds(lambda shape: spaces.Box(-4, 4, shape, np.int32), SHAPES),
)
REAL = st.builds(
    lambda shape, dtype: spaces.Box(-2, 3, shape, dtype), SHAPES, st.sampled_from([np.float32, np.float64])
)


def nests(leaves: st.SearchStrategy) -> st.SearchStrategy:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(st.sampled_from("cab"), inner, min_size=1).map(spaces.Dict),
            st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple),
        ),
        max_leaves=4,
    )


def flat(space: spaces.Space, value: Any) -> list[Any]:
    """The numbers of a value in the order of its space, found in another way than `Actions` has."""
    if isinstance(space, spaces.Dict):
        return [number for key in space for number in flat(space[key], value[key])]
    if isinstance(space, spaces.Tuple):
        return [number for part, each in zip(space, value, strict=True) for number in flat(part, each)]
    return np.ravel(value).tolist()


def check_same(one: Any, other: Any) -> None:
    """Equal, of the same types and dtypes; an array without axes may be a scalar."""
    if isinstance(one, dict | tuple):
        assert type(one) is type(other)
        items = zip(one.items(), other.items(), strict=True) if isinstance(one, dict) else zip(one, other, strict=True)
        for a, b in items:
            check_same(a, b)
    elif isinstance(one, str):
        assert one == other  # a key
    else:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)


@settings(max_examples=80)
@given(st.one_of(nests(WHOLE), nests(REAL)), st.integers(0, 99))
def test_one_array_becomes_what_the_space_itself_would_draw(space, seed):
    space.seed(seed)
    wanted, actions = space.sample(), FlatActions(space)
    array = np.reshape(np.array(flat(space, wanted), actions.spec.dtype), actions.spec.shape)
    assert (array >= actions.spec.low).all()
    assert (array <= actions.spec.high).all()
    check_same(actions.taken_apart(array), wanted)
    assert space.contains(actions.taken_apart(array))
    drawn = actions.taken_apart(uniform_action(actions.spec, np.random.default_rng(seed)))
    assert space.contains(drawn)
    ends = [part["at"] for part in actions.layout]
    assert ends[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(ends))
    assert ends[-1][1] == array.size


def test_a_single_space_keeps_its_shape_and_dtype():
    assert FlatActions(spaces.Discrete(4, start=2)).spec.shape == ()
    assert FlatActions(spaces.Box(-1, 1, (2, 3))).spec.shape == (2, 3)
    assert FlatActions(spaces.MultiBinary((2, 2))).spec.dtype == np.int8


def test_keys_are_joined_in_gymnasiums_own_order():
    space = spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)])})
    layout = FlatActions(space).layout
    assert [part["name"] for part in layout] == ["a/0", "a/1", "z"]
    assert layout[0] == {
        "name": "a/0", "space": "Discrete", "dtype": "int64", "shape": [], "at": [0, 1], "first": 0, "last": 2
    }  # fmt: skip
    taken = FlatActions(space).taken_apart(np.array([2, 0, 1, 1]))
    assert (taken["a"][0], taken["a"][1].tolist(), taken["z"]) == (2, [0, 1], 1)


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (spaces.Discrete(3), 3),
        (spaces.Discrete(3, start=1), 0),
        (spaces.MultiDiscrete([2, 2]), [0, -1]),
        (spaces.Tuple([spaces.Discrete(2), spaces.MultiBinary(1)]), [0, 2]),
    ],
)
def test_whole_numbers_beyond_their_bounds_are_refused(space, action):
    with pytest.raises(InvalidInput, match="takes actions from"):
        FlatActions(space).taken_apart(np.asarray(action))


def test_a_real_number_that_its_part_cannot_hold_is_refused():
    actions = FlatActions(
        spaces.Dict({"a": spaces.Box(-1, 1, (1,), np.float32), "b": spaces.Box(-1, 1, (1,), np.float64)})
    )
    assert actions.taken_apart(np.array([0.1, 1e39]))["a"] == np.float32(0.1)
    with pytest.raises(InvalidInput, match="The action a is float32, which cannot hold"):
        actions.taken_apart(np.array([1e39, 0.1]))


def test_real_numbers_beyond_their_bounds_are_the_environments_business():
    assert FlatActions(spaces.Box(-1, 1, (1,))).taken_apart(np.float32([5])) == 5


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Text(3), "The action is of the space Text"),
        (spaces.Dict({"a": spaces.Sequence(spaces.Discrete(2))}), "The action a is of the space Sequence"),
        (spaces.Graph(spaces.Box(0, 1, (1,)), None), "Graph"),
        (spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, (1,))]), "no number type in common: 0 int64, 1 float32"),
        (
            spaces.Tuple([spaces.Box(0, 9, (1,), np.uint64), spaces.Discrete(2)]),
            "no number type in common: 0 uint64, 1 int64",
        ),
        (spaces.Dict({}), "nothing to do"),
    ],
)
def test_other_spaces_and_mixtures_are_refused_by_name(space, words):
    with pytest.raises(InvalidInput, match=words):
        FlatActions(space)
