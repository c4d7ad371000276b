"""What every Policy must keep; a subclass named Test... gives `make` and `environment` and inherits the checks."""

from __future__ import annotations

import json
import pickle
import random

import numpy as np

from pipeline.interfaces import Decision, Environment, Policy
from pipeline.rollout.rollout import Start, play, rollout
from tests.contracts.environment import arrays

SEED = 3


class PolicyContract:
    """Inherit and give `make` and a small `environment` that the policy can play."""

    def make(self) -> Policy:
        raise NotImplementedError

    def environment(self) -> Environment:
        raise NotImplementedError

    def digest(self, policy: Policy, seed: int = SEED, limit: int | None = None) -> bytes:
        return rollout(self.environment(), policy, seed, np.random.default_rng(seed), limit).digest()

    def test_it_fulfils_the_protocol(self):
        policy = self.make()
        assert isinstance(policy, Policy)
        assert policy.slots >= 1

    def test_the_identity_is_json_names_it_and_never_changes(self):
        policy = self.make()
        before = json.dumps(policy.identity(), sort_keys=True)
        assert policy.identity()["name"] == policy.name
        self.digest(policy)
        assert json.dumps(policy.identity(), sort_keys=True) == before
        assert json.dumps(self.make().identity(), sort_keys=True) == before

    def test_actions_fit_the_spec(self):
        environment, policy, rng = self.environment(), self.make(), np.random.default_rng(SEED)
        spec = environment.action_spec
        observation, done = environment.reset(SEED), False
        policy.start(0, environment)
        while not done:
            (action,) = policy.act([Decision(0, observation, rng)])
            assert (action.shape, action.dtype) == (spec.shape, spec.dtype)
            assert spec.low is None or (action >= spec.low).all()
            assert spec.high is None or (action <= spec.high).all()
            transition = environment.step(action)
            observation, done = transition.observation, transition.terminated or transition.truncated

    def test_the_same_generator_gives_the_same_episode(self):
        assert self.digest(self.make()) == self.digest(self.make())

    def test_an_episode_depends_neither_on_its_slot_nor_on_the_others(self):
        policy, seeds = self.make(), range(SEED, SEED + 12)
        alone = {seed: self.digest(policy, seed, limit=15) for seed in seeds}
        for order in (list(seeds), list(reversed(seeds))):
            environments = [self.environment() for _ in range(policy.slots)]
            starts = iter([Start(seed, seed, np.random.default_rng(seed)) for seed in order])
            together = {each.index: each.episode.digest() for each in play(environments, self.make(), starts, limit=15)}
            assert together == alone

    def test_start_forgets_the_last_episode(self):
        used = self.make()
        self.digest(used, seed=SEED + 1)
        self.digest(used, seed=SEED + 2, limit=2)  # left half finished
        assert self.digest(used) == self.digest(self.make())

    def test_it_neither_reads_nor_moves_global_random_state(self):
        digests = set()
        for state in (1, 2):
            np.random.seed(state)  # noqa: NPY002
            random.seed(state)
            policy, environment = self.make(), self.environment()
            observation = environment.reset(SEED)
            before = np.random.get_state()[1].tobytes(), random.getstate()  # noqa: NPY002
            policy.start(0, environment)
            policy.act([Decision(0, observation, np.random.default_rng(SEED))])
            assert (np.random.get_state()[1].tobytes(), random.getstate()) == before  # noqa: NPY002
            digests.add(self.digest(policy))
        assert len(digests) == 1

    def test_it_leaves_the_observation_alone(self):
        environment, policy = self.environment(), self.make()
        observation = environment.reset(SEED)
        before = {name: array.copy() for name, array in arrays(observation).items()}
        policy.start(0, environment)
        policy.act([Decision(0, observation, np.random.default_rng(SEED))])
        for name, array in arrays(observation).items():
            np.testing.assert_array_equal(array, before[name])

    def test_an_unused_policy_can_be_sent_to_a_worker(self):
        assert self.digest(pickle.loads(pickle.dumps(self.make()))) == self.digest(self.make())
