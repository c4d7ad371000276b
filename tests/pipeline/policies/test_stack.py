"""Stacks of observations: which are understood, and that they are those of the trainers."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.policies.stack import Stack, fit_observation, stacked

UNDERSTOOD = [
    ((84, 84), (84, 84), None, 1),
    ((84, 84), (4, 84, 84), None, 4),
    ((84, 84), (84, 84, 4), None, 4),
    ((84, 84), (84, 84, 1), None, 1),
    ((64, 64, 3), (64, 64, 12), None, 4),
    ((64, 64, 3), (12, 64, 64), None, 4),
    ((64, 64, 3), (3, 64, 64), None, 1),
    ((64, 64, 3), (4, 64, 64, 3), None, 4),
    ((3, 64, 64), (6, 64, 64), None, 2),
    ((9,), (4, 9), None, 4),
    ((9,), (36,), 4, 4),
    ((), (), None, 1),
]


@pytest.mark.parametrize(("observation", "shape", "frames", "expected"), UNDERSTOOD)
def test_the_frames_follow_from_the_shapes(observation, shape, frames, expected):
    way = fit_observation(observation, shape, frames)
    assert way is not None
    assert (way.frames, way.shape) == (expected, shape)
    stack = Stack(way, np.zeros((2, *shape)))
    for number in range(1, expected + 2):
        stack.push(1, np.full(observation, number))
    kept = np.unique(stack.rows[1])
    np.testing.assert_array_equal(kept, np.arange(2, expected + 2))


@pytest.mark.parametrize(
    ("observation", "shape", "frames"),
    [
        ((9,), (36,), None),
        ((9,), (37,), 4),
        ((84, 84), (4, 80, 80), None),
        ((84, 84), (4, 84, 84), 3),
        ((2,), (3,), None),
    ],
)
def test_other_shapes_are_not_guessed_at(observation, shape, frames):
    assert fit_observation(observation, shape, frames) is None


@pytest.mark.parametrize(
    ("observation", "frames", "channels", "shape"),
    [
        ((84, 84), None, "first", (84, 84)),
        ((84, 84), 1, "first", (1, 84, 84)),
        ((84, 84), 4, "first", (4, 84, 84)),
        ((84, 84), 4, "last", (84, 84, 4)),
        ((64, 60, 3), 2, "first", (6, 64, 60)),
        ((64, 60, 3), 2, "last", (64, 60, 6)),
        ((9,), 4, "first", (36,)),
    ],
)
def test_stacks_can_be_asked_for(observation, frames, channels, shape):
    assert stacked(observation, frames, channels).shape == shape


def test_a_stack_that_begins_with_zeros_is_vecframestacks():
    from gymnasium import spaces
    from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

    rng = np.random.default_rng(0)
    theirs = StackedObservations(1, 3, spaces.Box(0, 255, (36, 40, 2), np.uint8))
    way = fit_observation((36, 40, 2), (36, 40, 6))
    assert way is not None
    ours = Stack(way, np.zeros((4, 36, 40, 6), np.uint8))
    for _ in range(3):
        first = True
        ours.clear(2)
        for _ in range(5):
            frame = rng.integers(0, 256, (36, 40, 2), np.uint8)
            expected = theirs.reset(frame[None]) if first else theirs.update(frame[None], np.zeros(1, bool), [{}])[0]
            first = False
            ours.push(2, frame)
            np.testing.assert_array_equal(ours.rows[2], expected[0])
    assert not ours.rows[[0, 1, 3]].any()


def test_a_stack_that_begins_with_the_first_observation_is_gymnasiums():
    from gymnasium import Env, spaces
    from gymnasium.wrappers import FrameStackObservation

    class Counting(Env):
        observation_space, action_space = spaces.Box(0, 99, (5, 6)), spaces.Discrete(1)

        def reset(self, *, seed=None, options=None):
            self.count = 1
            return np.full((5, 6), 1, np.float32), {}

        def step(self, action):
            self.count += 1
            return np.full((5, 6), self.count, np.float32), 0.0, False, False, {}

    env = FrameStackObservation(Counting(), 4)
    way = fit_observation((5, 6), (4, 5, 6))
    assert way is not None
    ours, expected = Stack(way, np.zeros((1, 4, 5, 6)), "first"), env.reset()[0]
    for number in range(1, 8):
        ours.push(0, np.full((5, 6), number))
        np.testing.assert_array_equal(ours.rows[0], expected)
        expected = env.step(0)[0]


def test_unknown_paddings_and_changing_shapes_are_refused():
    way = fit_observation((3,), (3,))
    assert way is not None
    with pytest.raises(InvalidInput, match=r"padding is one of zero, first; it is last"):
        Stack(way, np.zeros((1, 3)), "last")
    with pytest.raises(InvalidInput, match=r"from \(3,\) to \(4,\)"):
        Stack(way, np.zeros((1, 3))).push(0, np.zeros(4))
