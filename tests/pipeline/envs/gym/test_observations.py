"""Observations of drawn spaces, there and back, and those that are not what their space promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.envs.gym.observations import Observations
from pipeline.envs.gym.text import code_points, text_of
from pipeline.errors import InvalidInput
from pipeline.observation import observation_arrays

LEAVES = st.one_of(
    st.builds(
        lambda shape, dtype: spaces.Box(0, 9, shape, dtype),
        st.lists(st.integers(1, 3), max_size=3).map(tuple),
        st.sampled_from([np.uint8, np.int32, np.float16, np.float32, np.float64]),
    ),
    st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 5), st.integers(-3, 3)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 4), min_size=1, max_size=3)),
    st.builds(spaces.MultiBinary, st.integers(1, 4)),
    st.builds(spaces.Text, st.integers(1, 6), charset=st.just("aéß字🦆")),
)
SPACES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.text("ab/. é", min_size=3, max_size=4), inner, min_size=1, max_size=3).map(spaces.Dict),
        st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple),
    ),
    max_leaves=5,
)


def check(space: spaces.Space, value: Any, seen: Any) -> None:
    """`seen` holds the same as `value`, in the dtypes of the space."""
    if isinstance(space, spaces.Dict):
        for (key, part), inner in zip(space.spaces.items(), seen.values(), strict=True):
            check(part, value[key], inner)
    elif isinstance(space, spaces.Tuple):
        assert list(seen) == [str(number) for number in range(len(value))]
        for part, one, inner in zip(space.spaces, value, seen.values(), strict=True):
            check(part, one, inner)
    elif isinstance(space, spaces.Text):
        assert text_of(seen) == value
        assert (seen.dtype, seen.shape) == (np.uint32, (space.max_length,))
    else:
        assert seen.dtype == (np.int64 if isinstance(space, spaces.Discrete) else space.dtype)
        assert seen.shape == space.shape
        np.testing.assert_array_equal(seen, value)


def leaves(seen: Any) -> int:
    return sum(map(leaves, seen.values())) if isinstance(seen, Mapping) else 1


@settings(max_examples=60)
@given(SPACES, st.integers(0, 99))
def test_every_value_of_a_space_is_kept(space, seed):
    space.seed(seed)
    value = space.sample()
    seen, mission = Observations(space).read(value)
    check(space, value, seen)
    assert mission == ""
    assert len(observation_arrays(seen)) == leaves(seen)


def test_what_is_read_is_a_copy():
    array = np.zeros(2, np.float32)
    seen, _ = Observations(spaces.Box(0, 1, (2,))).read(array)
    array[:] = 1
    np.testing.assert_array_equal(seen, [0, 0])


@pytest.mark.parametrize("value", [[1, 2], (1.0, 2.0), np.array([1, 2], np.int64), np.array([1.0, 2.0], np.float64)])
def test_what_can_be_cast_without_loss_is(value):
    seen, _ = Observations(spaces.Box(0, 9, (2,))).read(value)
    np.testing.assert_array_equal(seen, np.float32([1, 2]))
    assert seen.dtype == np.float32


@pytest.mark.parametrize(
    ("space", "value", "words"),
    [
        (spaces.Box(0, 1, (2,)), np.float32([1, 2, 3]), r"float32 of shape \(2,\).*It is float32 of shape \(3,\)"),
        (spaces.Box(0, 1, (2,)), [0.1, 0.2], "float64, and some.*domain.rounding=true"),
        (spaces.Box(0, 255, (1,), np.uint8), [256], "uint8.*int64"),
        (spaces.Box(0, 255, (1,), np.uint8), [0.5], "uint8.*float64"),
        (spaces.Box(0, 1, (2,)), [[1], [1, 2]], "a list of 2"),
        (spaces.Box(0, 1, (1,)), ["1"], "a list of 1"),
        (spaces.Box(0, 1, (1,)), None, "NoneType"),
        (spaces.Discrete(4), 1.5, "int64"),
        (spaces.Discrete(4), [1], "a list of 1"),
        (spaces.Text(3), "longer", "at most 3 characters"),
        (spaces.Text(3), 7, "should be a text.*int"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"b": 1}, "keys a.*keys b"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"a": 1, "b": 1}, "keys a.*keys a, b"),
        (spaces.Tuple([spaces.Discrete(2)]), (1, 1), "tuple of 1.*tuple of 2"),
        (spaces.Dict({"a": spaces.Tuple([spaces.Discrete(2)])}), {"a": (0.5,)}, "The observation a/0 should"),
        (spaces.Dict({"mission": spaces.Text(9), "n": spaces.Discrete(2)}), {"n": 1}, "the text mission"),
    ],
)
def test_what_a_space_does_not_promise_is_refused_with_what_was_wanted_and_what_came(space, value, words):
    with pytest.raises(InvalidInput, match=words):
        Observations(space, mission="mission").read(value)


def test_rounding_is_for_the_digits_of_real_numbers_alone():
    rounded = Observations(spaces.Box(-9, 9, (2,)), rounding=True)
    np.testing.assert_array_equal(rounded.read([0.1, 0.2])[0], np.float32([0.1, 0.2]))
    for too_large in ([1e300, 0.0], [2**24 + 1, 0]):
        with pytest.raises(InvalidInput):
            rounded.read(too_large)
    with pytest.raises(InvalidInput):
        Observations(spaces.Box(0, 255, (1,), np.uint8), rounding=True).read([0.5])


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Dict({"a": spaces.Sequence(spaces.Discrete(2))}), "The observation a is of the space Sequence"),
        (spaces.Graph(spaces.Box(0, 1, (1,)), None), "space Graph"),
        (spaces.OneOf([spaces.Discrete(2), spaces.Discrete(3)]), "space OneOf"),
        (spaces.Dict({}), "empty Dict"),
        (spaces.Dict({"mission": spaces.Text(3)}), "empty Dict"),
        (spaces.Dict({object(): spaces.Discrete(2)}), "cannot name an array"),
        (spaces.Tuple([]), "empty Tuple"),
    ],
)
def test_spaces_that_cannot_be_stored_are_refused(space, words):
    with pytest.raises(InvalidInput, match=words):
        Observations(space, mission="mission")


@given(st.text(st.characters(exclude_characters="\0"), max_size=9))
def test_code_points_give_their_text_back(text):
    assert text_of(code_points(text, 9)) == text


def test_a_text_with_the_character_0_is_refused():
    with pytest.raises(InvalidInput, match="character 0"):
        code_points("a\0", 5)
