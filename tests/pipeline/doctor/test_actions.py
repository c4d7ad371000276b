"""Actions outside their space, on its bounds, or always the same, planted and found."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from pipeline.envs.gym.environment import Gym
from pipeline.episode import with_last_row
from tests.conftest import toy_domain
from tests.pipeline.doctor.planted import examined_made, found_in, healthy, walked

TOY = {"environment": {"simulator": "toy", "max_steps": 60}}
"""Its five actions are known by its name."""

BOX = {"simulator": "gymnasium", "action_layout": [{"space": "Box", "at": [0, 1]}]}


def acting(actions, count=6):
    rng = np.random.default_rng(0)
    length = 8
    return [
        walked(rng, length, steps={"action": with_last_row("action", np.asarray(actions(rng, length)))})
        for _ in range(count)
    ]


def discrete(*choices):
    return acting(lambda rng, length: rng.choice(choices, length))


def test_healthy_actions_are_counted():
    examination = examined_made(discrete(0, 1, 2, 3, 4), parameters=TOY)
    assert examination.findings == []
    assert sum(examination.facts["actions"]["counts"].values()) == 48
    assert examination.unchecked == []


def test_a_discrete_action_that_there_is_not_is_an_error():
    found = found_in(discrete(0, 1, 2, 5), parameters=TOY)["actions_outside"]
    assert found.severity == "error"
    assert found.what.split(": ")[1].startswith("action[0]")


def test_one_action_always_is_a_warning_and_few_of_many_too():
    assert found_in(discrete(3), parameters=TOY)["one_action"].severity == "warning"
    console = {"environment": {"simulator": "ale", "actions": ["NOOP", "FIRE", "RIGHT", "LEFT", "UP", "DOWN"]}}
    assert "Only 2 of 6 actions" in found_in(discrete(3, 2), parameters=console)["few_actions"].what
    assert found_in(discrete(3, 2), parameters=TOY) == {}


def test_a_real_action_that_never_changes_is_a_warning():
    found = found_in(acting(lambda rng, length: np.full((length, 2), 0.25)))
    assert {name: each.severity for name, each in found.items()} == {"one_action": "warning"}


def pendulum():
    """A domain whose one task has actions from -2 to 2."""
    make = partial(Gym, env_id="Pendulum-v1")
    return replace(toy_domain(), tasks=["pendulum-v1"], unseen=[], environment=make)


def real(rng, length, share):
    actions = rng.uniform(-1.9, 1.9, (length, 1)).astype(np.float32)
    actions[rng.random(length) < share] = rng.choice([-2.0, 2.0])
    return actions


KNOWN = {"parameters": {"environment": BOX}, "simulator": pendulum(), "task": "pendulum-v1"}


def test_bounds_come_from_the_simulator_and_clipped_actions_are_a_warning():
    examination = examined_made(acting(partial(real, share=0.2)), **KNOWN)
    assert examination.findings == []
    assert 0.1 < examination.facts["actions"]["action"]["on_bounds"][0] < 0.4
    found = found_in(acting(partial(real, share=1)), **KNOWN)["actions_on_bounds"]
    assert dict(found.numbers)["action[0]"] == 1


def test_a_real_action_outside_the_bounds_is_an_error_with_its_place_and_share():
    def change(arrays):
        arrays["steps/action"][9 + 3] = -2.5

    found = found_in(acting(partial(real, share=0)), change, **KNOWN)["actions_outside"]
    assert (found.severity, found.count, found.examples) == ("error", 1, ("episode 1, row 3",))
    assert "action[0] 2.1%" in found.what


@pytest.mark.parametrize("known", [{}, {"parameters": {"environment": BOX}}])
def test_bounds_that_nobody_states_are_told_and_are_no_finding(known):
    examination = examined_made(healthy(), **known)
    assert examination.findings == []
    assert "the bounds of actions are not stated" in examination.unchecked


def test_parts_of_a_gymnasium_space_have_their_own_bounds():
    layout = [
        {"space": "MultiBinary", "at": [0, 2]},
        {"space": "MultiDiscrete", "at": [2, 4], "first": [-1, 5], "last": [1, 7]},
    ]
    parameters = {"environment": {"simulator": "gymnasium", "action_layout": layout}}

    def actions(rng, length):
        return np.stack(
            [
                rng.integers(0, 2, length),
                rng.integers(0, 2, length),
                rng.integers(-1, 2, length),
                rng.integers(5, 8, length),
            ],
            axis=1,
        )

    def change(arrays):
        arrays["steps/action"][2] = [0, 1, 0, 8]

    assert found_in(acting(actions), parameters=parameters) == {}
    assert "action[3]" in found_in(acting(actions), change, parameters=parameters)["actions_outside"].what
