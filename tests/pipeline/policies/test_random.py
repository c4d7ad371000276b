"""Uniform actions: their bounds, their spread, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.envs.toy import Toy
from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Decision
from pipeline.policies.random import Random
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
