"""Uniform actions: their bounds, their spread, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.envs.toy import Toy
from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Decision
from pipeline.policies.mixed import Mixed
from pipeline.policies.random import Random, uniform_action
from tests.contracts.policy import PolicyContract


class TestRandom(PolicyContract):
    def make(self):
        return Random()

    def environment(self):
        return Toy("maze", max_steps=20)


class Bounded(Toy):
    """A gridworld that claims other actions."""

    def __init__(self, spec: ArraySpec) -> None:
        super().__init__("corner")
        self._spec = spec

    @property
    def action_spec(self) -> ArraySpec:
        return self._spec


def draw(spec: ArraySpec, count: int = 2000) -> np.ndarray:
    policy, rng = Random(), np.random.default_rng(0)
    policy.start(0, Bounded(spec))
    return np.stack(policy.act([Decision(0, np.zeros(1), rng)] * count))


def test_whole_numbers_reach_both_bounds_equally_often():
    actions = draw(ArraySpec((), np.dtype(np.int64), np.asarray(0), np.asarray(4)))
    assert actions.dtype == np.int64
    counts = np.bincount(actions)
    assert len(counts) == 5
    assert (np.abs(counts - 400) < 4 * np.sqrt(2000 * 0.2 * 0.8)).all()


def test_real_numbers_fill_their_own_bounds():
    low, high = np.float32([-1, 0]), np.float32([1, 10])
    actions = draw(ArraySpec((2,), np.dtype(np.float32), low, high))
    assert actions.dtype == np.float32
    assert (actions >= low).all()
    assert (actions <= high).all()
    np.testing.assert_allclose(actions.mean(axis=0), [0, 5], atol=0.3)


@pytest.mark.parametrize("high", [None, np.float32([np.inf])])
def test_unbounded_actions_are_refused(high: np.ndarray | None):
    with pytest.raises(InvalidInput, match="finite bounds"):
        draw(ArraySpec((1,), np.dtype(np.float32), np.float32([0]), high))


def test_bounds_whose_distance_is_no_number_are_refused():
    far = np.float64([np.finfo(np.float64).max])
    with pytest.raises(InvalidInput, match="finite bounds"):
        draw(ArraySpec((1,), np.dtype(np.float64), -far, far))


def test_acting_before_the_start_is_an_error():
    with pytest.raises(RuntimeError, match="start"):
        Random().act([Decision(0, np.zeros(1), np.random.default_rng(0))])
    with pytest.raises(RuntimeError, match="start"):
        Random().upcoming(np.random.default_rng(0))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "uint32", "int64", "uint64", "float32"])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_actions_that_are_drawn_ahead_are_those_drawn_one_by_one(dtype: str, shape: tuple[int, ...]):
    high = np.ones(shape, dtype) if dtype == "bool" else np.full(shape, 100).astype(dtype)
    spec = ArraySpec(shape, np.dtype(dtype), np.zeros(shape, dtype), high)
    policy, rng, other = Random(), np.random.default_rng(3), np.random.default_rng(3)
    policy.start(0, Bounded(spec))
    ahead = np.concatenate([policy.upcoming(rng) for _ in range(3)])
    alone = np.stack([uniform_action(spec, other) for _ in ahead])
    assert (ahead.dtype, ahead.shape) == (alone.dtype, alone.shape) == (spec.dtype, (len(ahead), *shape))
    assert np.array_equal(ahead, alone)


def test_a_new_generator_begins_anew_and_a_restart_does_not():
    policy = Random()
    seen = []
    for restarts in (False, True):
        rng = np.random.default_rng(3)
        policy.start(0, Toy("corner"))
        for _ in range(9):
            if restarts:
                policy.start(0, Toy("corner"))
            seen += policy.act([Decision(0, np.zeros(1), rng)])
    assert np.array_equal(seen[:9], seen[9:])


def test_a_mixture_draws_in_turns():
    drawn = Mixed(Random(), 0.5)
    drawn.start(0, Toy("corner"))
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(40):
        (action,) = drawn.act([Decision(0, np.zeros(1), rng)])
        alone = uniform_action(Toy("corner").action_spec, other)
        if other.random() < 0.5:
            alone = uniform_action(Toy("corner").action_spec, other)
        assert np.array_equal(action, alone)
