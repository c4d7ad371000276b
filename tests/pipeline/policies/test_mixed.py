"""Random actions mixed into a policy's own."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.envs.toy import Toy
from pipeline.errors import InvalidInput
from pipeline.interfaces import Decision, GaveUp
from pipeline.policies.mixed import Mixed
from pipeline.policies.scripted import Scripted
from tests.contracts.policy import PolicyContract


class Still(Scripted):
    """Never moves."""

    name = "still"

    def act(self, decisions):
        return [np.asarray(0, np.int64) for _ in decisions]


class Helpless(Scripted):
    """Knows no way on."""

    def act(self, decisions):
        return [GaveUp("lost", np.asarray(0, np.int64)) for _ in decisions]


class TestMixed(PolicyContract):
    def make(self):
        return Mixed(Scripted(), 0.3)

    def environment(self):
        return Toy("maze", max_steps=20)


def moves(randomness: float, count: int = 4000) -> np.ndarray:
    policy = Mixed(Still(), randomness)
    policy.start(0, Toy("corner"))
    return np.stack(policy.act([Decision(0, np.zeros(9), np.random.default_rng(1))] * count))


def test_0_is_the_policy_and_1_is_uniform():
    assert not moves(0.0).any()
    counts = np.bincount(moves(1.0), minlength=5)
    assert (np.abs(counts - 800) < 4 * np.sqrt(4000 * 0.2 * 0.8)).all()


def test_the_chance_is_per_decision_and_the_drawn_action_may_be_the_policys_own():
    share = (moves(0.2) != 0).mean()
    assert abs(share - 0.2 * 4 / 5) < 4 * np.sqrt(0.16 * 0.84 / 4000)


def test_no_random_action_stands_in_for_a_policy_that_gave_up():
    policy = Mixed(Helpless(), 1.0)
    policy.start(0, Toy("corner"))
    (answer,) = policy.act([Decision(0, np.zeros(9), np.random.default_rng(1))])
    assert isinstance(answer, GaveUp)


def test_it_is_named_and_identified_as_its_policy():
    policy = Mixed(Still(), 0.25)
    assert policy.name == "still"
    assert policy.identity() == {"name": "still", "randomness": 0.25}


@pytest.mark.parametrize("chance", [-0.1, 1.5, float("nan")])
def test_a_chance_outside_0_to_1_is_refused(chance: float):
    with pytest.raises(InvalidInput, match="policy.randomness"):
        Mixed(Still(), chance)
