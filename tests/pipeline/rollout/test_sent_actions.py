"""Decisions that an environment takes itself: what was sent is stored, and a policy begins again where it says so."""

import numpy as np

from pipeline.interfaces import Transition
from tests.pipeline.rollout.test_rollout import seen, taped


def test_an_action_that_the_environment_sent_is_the_stored_one():
    episode = taped([Transition(seen(1), 0, sent=np.asarray([7, 8])), Transition(seen(2), 0, terminated=True)])
    assert episode.steps["action"].tolist() == [[7, 8], [2, 2], [0, 0]]
    assert episode.steps["action"].dtype == np.float32


def test_a_policy_begins_again_after_a_transition_that_restarts():
    restart = Transition(seen(2), 0, restarts=True)
    episode = taped([Transition(seen(1), 0), restart, Transition(seen(3), 0, terminated=True)])
    assert episode.steps["action"].tolist() == [[1, 1], [2, 2], [1, 1], [0, 0]]  # it counts from its start
