"""The expert behind one name."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.envs.toy import Toy
from pipeline.interfaces import Decision
from pipeline.policies.scripted import Scripted
from pipeline.rollout.rollout import rollout
from tests.contracts.policy import PolicyContract


class TestScripted(PolicyContract):
    def make(self):
        return Scripted()

    def environment(self):
        return Toy("key", max_steps=20)


def test_it_plays_what_the_expert_plays():
    environment, rng = Toy("maze"), np.random.default_rng(3)
    episode = rollout(environment, Scripted(), 3, np.random.default_rng(3))
    environment.reset(3)
    expert = environment.expert()
    actions = [expert.act(observation, rng) for observation in episode.steps["observation"][:-1]]
    np.testing.assert_array_equal(actions, episode.steps["action"][:-1])


def test_acting_before_the_start_is_an_error():
    with pytest.raises(RuntimeError, match="start"):
        Scripted().act([Decision(0, np.zeros(9), np.random.default_rng(0))])
