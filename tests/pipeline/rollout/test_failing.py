"""Simulators that fail or give NaN: the message names the episode and the step, whatever comes after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.errors import NoRenderer, TaskFailed
from pipeline.interfaces import Decision, Transition
from pipeline.rollout.rollout import rollout
from tests.pipeline.rollout.test_rollout import RNG, OneBuffer, Tape, seen, taped


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Transition(seen(np.nan), 0.0), "NaN in the observation after step 1 with seed 42"),
        (Transition({"a": {"b": seen(np.nan)}}, 0.0), "NaN in the observation after step 1 with seed 42"),
        (Transition(seen(1), float("nan")), "reward nan at step 1 with seed 42"),
        (Transition(seen(1), float("inf")), "reward inf at step 1 with seed 42"),
        (ValueError("lost"), "step 1 of the episode with seed 42: ValueError: lost"),
        (KeyError(), "step 1 of the episode with seed 42: KeyError"),
    ],
)
def test_a_failing_simulator_is_named_with_seed_and_step(bad: Transition | Exception, message: str):
    with pytest.raises(TaskFailed, match=message) as raised:
        taped([Transition(seen(1), 0.0), bad])
    if isinstance(bad, Exception):
        assert raised.value.__cause__ is bad


@pytest.mark.parametrize("later", [ValueError("lost"), NoRenderer("install something"), Transition(seen(1), np.nan)])
def test_the_first_nan_is_named_whatever_it_does_to_the_simulator_later(later: Transition | Exception):
    with pytest.raises(TaskFailed, match="NaN in the observation after step 1 with seed 42"):
        taped([Transition(seen(1), 0.0), Transition(seen(np.nan), 0.0), Transition(seen(2), 0.0), later])


def test_the_first_nan_is_named_where_the_policy_fails_for_it():
    class Careful(OneBuffer):
        def act(self, decisions: Sequence[Decision]) -> list[np.ndarray]:
            if np.isnan(decisions[0].observation).any():
                raise ValueError("what is this?")
            return super().act(decisions)

    with pytest.raises(TaskFailed, match="NaN in the observation after step 0 with seed 42"):
        rollout(Tape(seen(0), [Transition(seen(np.nan), 0.0)]), Careful(), 42, RNG)


def test_an_episode_that_nan_keeps_from_ending_is_given_up():
    tape = [Transition(seen(1), 0.0)] * 70 + [Transition(seen(np.nan), 0.0)] * 10_000
    simulator = Tape(seen(0), tape)
    with pytest.raises(TaskFailed, match="NaN in the observation after step 70 with seed 42"):
        rollout(simulator, OneBuffer(), 42, RNG)
    assert len(simulator.actions) < 200


def test_a_failing_reset_is_named_with_the_seed():
    with pytest.raises(TaskFailed, match="reset with seed 42: OSError: gone"):
        taped([], first=OSError("gone"))
    with pytest.raises(TaskFailed, match="NaN in the observation of the reset with seed 42"):
        taped([], first=seen(np.nan))
