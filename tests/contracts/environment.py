"""What every Environment must keep; a subclass named Test... gives `factory` and inherits the checks."""

from __future__ import annotations

import json
import multiprocessing
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

from pipeline.episode import Episode
from pipeline.errors import InvalidInput, NoRenderer
from pipeline.interfaces import Environment, Observation, Player, Transition
from pipeline.policies.random import Random, uniform_action
from pipeline.rollout.rollout import rollout

SEEDS = range(7, 27)


def play(environment: Environment, seed: int, limit: int | None = None) -> Episode:
    """An episode of uniformly random actions, which are the same for the same seed."""
    return rollout(environment, Random(), seed, np.random.default_rng(seed), limit)


def arrays(observation: Observation, name: str = "observation") -> dict[str, np.ndarray]:
    """The arrays of an observation, nested or not, by name."""
    if not isinstance(observation, Mapping):
        return {name: np.asarray(observation)}
    return {n: a for key, each in observation.items() for n, a in arrays(each, f"{name}/{key}").items()}


def facts(environment: Environment) -> str:
    """All that identifies an environment and its pictures, as JSON."""
    return json.dumps([environment.identity(), environment.picture_identity()], sort_keys=True)


def digest_elsewhere(factory: Callable[[], Environment], seed: int) -> bytes:
    """Runs in another process."""
    return play(factory(), seed).digest()


class Rendered:
    """An environment that is rendered after every reset and step."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def reset(self, seed: int) -> Observation:
        observation = self._environment.reset(seed)
        self._environment.render()
        return observation

    def step(self, action: np.ndarray) -> Transition:
        transition = self._environment.step(action)
        self._environment.render()
        return transition


class EnvironmentContract:
    """Inherit and give `factory`; keep the time limit short, every check plays whole episodes."""

    def factory(self) -> Callable[[], Environment]:
        """Makes environments in any process: a class, or `functools.partial` of one."""
        raise NotImplementedError

    def make(self) -> Environment:
        return self.factory()()

    def test_it_fulfils_the_protocol(self):
        assert isinstance(self.make(), Environment)

    def test_the_action_spec_is_consistent(self):
        spec = self.make().action_spec
        assert isinstance(spec.dtype, np.dtype)
        for bound in (spec.low, spec.high):
            assert bound is None or bound.shape == spec.shape
        if spec.low is not None and spec.high is not None:
            assert (spec.low < spec.high).all()
            if spec.dtype.kind == "f":
                assert spec.low.dtype == spec.high.dtype == spec.dtype

    def test_observations_keep_their_names_shapes_and_dtypes(self):
        environment = self.make()
        first = {name: (a.shape, a.dtype) for name, a in arrays(environment.reset(SEEDS[0])).items()}
        assert first
        assert all(dtype.kind in "biuf" for _, dtype in first.values())
        rng, done = np.random.default_rng(0), False
        while not done:
            transition = environment.step(uniform_action(environment.action_spec, rng))
            assert {n: (a.shape, a.dtype) for n, a in arrays(transition.observation).items()} == first
            done = transition.terminated or transition.truncated

    def test_a_step_gives_a_transition_of_plain_values(self):
        environment = self.make()
        environment.reset(SEEDS[0])
        transition = environment.step(uniform_action(environment.action_spec, np.random.default_rng(0)))
        assert isinstance(transition, Transition)
        assert type(transition.reward) is float
        assert type(transition.terminated) is bool
        assert type(transition.truncated) is bool
        assert 0.0 <= transition.discount <= 1.0
        assert transition.success in (-1, 0, 1)
        assert all(isinstance(key, str) for key in transition.info)

    def test_the_same_seed_gives_the_same_episode(self):
        assert play(self.make(), SEEDS[0]).digest() == play(self.make(), SEEDS[0]).digest()

    def test_other_seeds_give_other_beginnings(self):
        environment = self.make()
        firsts = [b"".join(a.tobytes() for a in arrays(environment.reset(s)).values()) for s in SEEDS[:6]]
        assert len(set(firsts)) > 1

    def test_an_episode_does_not_depend_on_what_the_object_did_before(self):
        used = self.make()
        play(used, SEEDS[1])
        play(used, SEEDS[2], limit=3)  # left half finished
        assert play(used, SEEDS[0]).digest() == play(self.make(), SEEDS[0]).digest()

    def test_an_episode_does_not_depend_on_global_random_state(self):
        digests = set()
        for state in (1, 2):
            np.random.seed(state)  # noqa: NPY002
            random.seed(state)
            digests.add(play(self.make(), SEEDS[0]).digest())
        assert len(digests) == 1

    def test_an_episode_is_the_same_in_another_process(self):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            there = pool.submit(digest_elsewhere, self.factory(), SEEDS[0]).result()
        assert there == play(self.make(), SEEDS[0]).digest()

    def test_later_steps_leave_earlier_observations_alone(self):
        environment, rng = self.make(), np.random.default_rng(0)
        kept = [environment.reset(SEEDS[0])]
        copies = [{name: a.copy() for name, a in arrays(kept[0]).items()}]
        done = False
        while not done:
            transition = environment.step(uniform_action(environment.action_spec, rng))
            kept.append(transition.observation)
            copies.append({name: a.copy() for name, a in arrays(transition.observation).items()})
            done = transition.terminated or transition.truncated
        environment.reset(SEEDS[1])
        for observation, copy in zip(kept, copies, strict=True):
            for name, array in arrays(observation).items():
                np.testing.assert_array_equal(array, copy[name])

    def test_the_time_limit_truncates(self):
        environment = self.make()
        limit = environment.identity()["max_steps"]
        for seed in SEEDS:
            episode = play(environment, seed)
            assert episode.length <= limit
            assert (episode.end_reason == "time_limit") == episode.truncated
            if episode.truncated:
                assert episode.length == limit
                assert episode.steps["discount"][limit - 1] > 0
                return
        pytest.fail(f"None of {len(SEEDS)} random episodes reached the time limit of {limit} steps")

    def test_a_step_before_a_reset_or_after_the_end_is_refused(self):
        environment = self.make()
        action = uniform_action(environment.action_spec, np.random.default_rng(0))
        with pytest.raises(RuntimeError):
            environment.step(action)
        play(environment, SEEDS[0])
        with pytest.raises(RuntimeError):
            environment.step(action)

    def test_the_identity_is_json_and_never_changes(self):
        environment = self.make()
        before = facts(environment)
        play(environment, SEEDS[0])
        assert facts(environment) == before
        assert facts(self.make()) == before

    def test_the_expert_is_a_player_whose_actions_fit(self):
        environment = self.make()
        try:
            expert = environment.expert()
        except InvalidInput:
            pytest.skip("this environment has no expert")
        assert isinstance(expert, Player)
        spec, rng = environment.action_spec, np.random.default_rng(0)
        observation, done = environment.reset(SEEDS[0]), False
        while not done:
            action = expert.act(observation, rng)
            assert (action.shape, action.dtype) == (spec.shape, spec.dtype)
            assert spec.low is None or (action >= spec.low).all()
            assert spec.high is None or (action <= spec.high).all()
            transition = environment.step(action)
            observation, done = transition.observation, transition.terminated or transition.truncated

    @pytest.mark.render
    def test_a_picture_is_rgb_and_the_callers_own(self):
        environment = self.make()
        environment.reset(SEEDS[0])
        picture = self._picture(environment)
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
        assert picture.std() > 1  # not one colour: a black picture is the classic failure
        kept = picture.copy()
        np.testing.assert_array_equal(environment.render(), kept)
        play(environment, SEEDS[0], limit=5)
        environment.render()
        np.testing.assert_array_equal(picture, kept)

    @pytest.mark.render
    def test_a_picture_depends_only_on_the_episode(self):
        used, fresh = self.make(), self.make()
        play(used, SEEDS[1])
        for environment in (used, fresh):
            environment.reset(SEEDS[0])
        np.testing.assert_array_equal(self._picture(used), fresh.render())

    @pytest.mark.render
    def test_rendering_changes_nothing(self):
        environment = self.make()
        environment.reset(SEEDS[0])
        self._picture(environment)
        assert play(Rendered(environment), SEEDS[0]).digest() == play(self.make(), SEEDS[0]).digest()

    def test_it_may_be_closed_twice(self):
        environment = self.make()
        environment.reset(SEEDS[0])
        environment.close()
        environment.close()

    def _picture(self, environment: Environment) -> np.ndarray:
        try:
            return environment.render()
        except NoRenderer as error:
            pytest.skip(str(error))
