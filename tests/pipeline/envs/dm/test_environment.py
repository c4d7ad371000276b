"""dm_env environments of the user's own: what they show is kept, and an episode follows from its seed."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from pipeline.envs.dm.environment import DeepMind
from pipeline.errors import InvalidInput, NoRenderer, TaskFailed, UnknownName
from pipeline.policies.random import Random
from pipeline.rollout.rollout import rollout
from tests.contracts.environment import EnvironmentContract, play
from tests.pipeline.envs.hills import OWN_LIMIT, Hill

HILLS = "tests.pipeline.envs.hills"
UP, DOWN = np.float32([1.0, 0.5]), np.float32([-0.5, -0.5])


def own(name: str = "Hill", **settings) -> DeepMind:
    return DeepMind("own", entry_point=f"{HILLS}:{name}", **settings)


class TestHill(EnvironmentContract):
    """Terminates at the top, with nested observations in reused memory and discounts between 0 and 1."""

    def factory(self):
        return partial(own, max_steps=14, env_kwargs={"steep": 2.0})


class TestLamp(EnvironmentContract):
    """Draws nothing, takes numbers and shows one array."""

    def factory(self):
        return partial(own, "Lamp", max_steps=3, seed_argument=False)

    def test_other_seeds_give_other_beginnings(self):
        """It draws nothing."""

    def test_a_picture_is_rgb_and_the_callers_own(self):
        with pytest.raises(NoRenderer, match=r"Lamp cannot draw: .*render\(\)"):
            self._drawn()

    def test_a_picture_depends_only_on_the_episode(self):
        """It has none."""

    def test_rendering_changes_nothing(self):
        """It has none."""

    def _drawn(self):
        environment = self.make()
        environment.reset(0)
        return environment.render()


def steps_of(environment, action, seed=0):
    transitions = []
    environment.reset(seed)
    while not transitions or not (transitions[-1].terminated or transitions[-1].truncated):
        transitions.append(environment.step(action))
    return transitions


def test_observations_keep_names_and_dtypes_and_sequences_are_counted():
    seen = own().reset(0)
    assert list(seen) == ["place", "views"]
    assert (seen["place"]["now"].dtype, seen["place"]["steps"].dtype) == (np.float32, np.int64)
    assert (seen["views"]["0"].shape, seen["views"]["0"].dtype) == ((2, 3), np.uint8)
    assert (seen["views"]["1"].shape, seen["views"]["1"].dtype) == ((), np.float16)
    episode = play(own(max_steps=3), 0)
    assert {name: a.shape for name, a in episode.steps.items() if name.startswith("observation")} == {
        "observation/place/now": (4, 2),
        "observation/place/steps": (4,),
        "observation/views/0": (4, 2, 3),
        "observation/views/1": (4,),
    }


def test_one_array_stays_one():
    episode = play(own("Lamp", seed_argument=False), 0)
    assert episode.steps["observation"].shape == (5, 1)
    assert (episode.steps["action"].dtype, episode.terminated) == (np.int32, True)


def test_a_last_discount_of_0_is_a_termination_and_discounts_are_kept():
    climb = steps_of(own(), UP)
    assert climb[-1].terminated
    assert not climb[-1].truncated
    assert [each.discount for each in climb] == [0.75] * (len(climb) - 1) + [0.0]
    assert climb[-1].reward == 1.0


def test_a_last_discount_above_0_is_a_truncation():
    fall = steps_of(own(), DOWN)
    assert (len(fall), fall[-1].terminated, fall[-1].truncated) == (OWN_LIMIT, False, True)
    assert fall[-1].discount == 0.5


def test_max_steps_truncates_earlier_and_a_termination_there_stays_one():
    fall = steps_of(own(max_steps=5), DOWN)
    assert (len(fall), fall[-1].truncated, fall[-1].discount) == (5, True, 0.75)
    length = len(steps_of(own(), UP))
    last = steps_of(own(max_steps=length), UP)[-1]
    assert (last.terminated, last.truncated) == (True, False)
    assert own(max_steps=5).identity()["max_steps"] == 5
    with pytest.raises(InvalidInput, match="at least 1"):
        own(max_steps=0)


def test_bounds_are_those_of_the_spec_in_its_shape_and_dtype():
    spec = own().action_spec
    np.testing.assert_array_equal(spec.low, np.float32([-0.5, -0.5]))
    np.testing.assert_array_equal(spec.high, np.float32([1.0, 0.5]))
    buttons = own("Lamp", seed_argument=False).action_spec
    assert (buttons.shape, buttons.dtype, buttons.low.item(), buttons.high.item()) == ((), np.int32, 0, 2)


def test_what_mujoco_does_not_bound_is_said_to_lie_within_1():
    spec = own("without_limits", seed_argument=False).action_spec
    np.testing.assert_array_equal(spec.low, [-1, -2])
    np.testing.assert_array_equal(spec.high, [1, 2])


@pytest.mark.parametrize("name", ["unbounded", "nested", "texts"])
def test_actions_that_are_not_one_bounded_array_are_refused(name):
    with pytest.raises(InvalidInput, match="one array with bounds.*the action spec is"):
        own(name, seed_argument=False).reset(0)


def test_rewards_that_are_not_one_number_are_refused():
    with pytest.raises(InvalidInput, match="A reward must be one number"):
        own("many_rewards", seed_argument=False).reset(0)


def test_an_episode_that_begins_within_another_is_an_error():
    environment = own("Restless", seed_argument=False)
    environment.reset(0)
    environment.step(np.int32(0))
    with pytest.raises(TaskFailed, match="without a last time step"):
        environment.step(np.int32(0))


def test_each_episode_has_a_new_environment_that_was_given_its_seed():
    environment = own()
    np.testing.assert_array_equal(
        environment.reset(7)["place"]["now"], Hill(seed=7).reset().observation["place"]["now"]
    )
    first = environment._env
    environment.reset(7)
    assert first.closed
    assert environment._env is not first


@pytest.mark.parametrize(("name", "argument", "known"), [("hill_of", "number", "number"), ("any_hill", "seed", "seed")])
def test_the_argument_of_the_seed_can_be_named(name, argument, known):
    environment = own(name, seed_argument=argument)
    np.testing.assert_array_equal(environment.reset(7)["place"]["now"], own().reset(7)["place"]["now"])
    assert environment.identity()["seed_argument"] == known


def test_an_environment_without_a_seed_is_refused_unless_it_draws_nothing():
    with pytest.raises(
        InvalidInput, match=r"hill_of has none of the arguments seed, random, random_state.*seed_argument"
    ):
        own("hill_of").reset(0)
    with pytest.raises(InvalidInput, match="Its arguments: none"):
        own("Lamp").identity()
    assert own("Lamp", seed_argument=False).identity()["seed_argument"] is None


def test_impossible_settings_are_refused():
    with pytest.raises(InvalidInput, match="sets seed"):
        own(env_kwargs={"seed": 3}).reset(0)
    with pytest.raises(InvalidInput, match="names no argument"):
        own(seed_argument=True)
    with pytest.raises(InvalidInput, match=r"does not take .*unexpected keyword argument 'steap'.*Hill\(steep"):
        own(env_kwargs={"steap": 3}).reset(0)
    with pytest.raises(InvalidInput, match=r"gave a list.*domain=gym"):
        own("no_environment").reset(0)
    with pytest.raises(InvalidInput, match="name it with domain.entry_point"):
        DeepMind("cartpole-swingup", env_kwargs={"rows": 3})


def test_the_identity_tells_code_and_arguments():
    facts = own(env_kwargs={"steep": 2.0}).identity()
    assert set(facts) == {
        *("simulator", "entry_point", "source", "versions", "kwargs", "seed_argument", "max_steps"),
    }
    assert facts["kwargs"] == {"steep": 2.0}
    assert len(facts["source"]) >= 32
    assert set(facts["versions"]) == {"dm-env"}


def test_a_picture_that_is_none_is_refused():
    environment = own("Blot", seed_argument=False)
    environment.reset(0)
    with pytest.raises(NoRenderer, match=r"gave float64\[4, 4\]"):
        environment.render()


def test_there_is_no_scripted_expert():
    with pytest.raises(InvalidInput, match="policy=random"):
        own().expert()


def test_a_policy_may_begin_without_asking_for_the_actions_first():
    assert rollout(own(max_steps=4), Random(), 1, np.random.default_rng(0)).length <= 4
    with pytest.raises(UnknownName, match="Hill"):
        own("Hil").reset(0)
