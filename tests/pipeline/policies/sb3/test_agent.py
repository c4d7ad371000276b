"""Agents of Stable-Baselines3: what they do is what its own predict does, in any slot."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from pipeline.envs.toy import Toy
from pipeline.interfaces import Decision
from pipeline.policies.network import SLOTS
from pipeline.policies.sb3.agent import StableBaselines
from pipeline.rollout.rollout import rollout
from tests.contracts.policy import PolicyContract
from tests.pipeline.policies.agents import DIALS, FORCE, MOVES, SWITCHES, Small, loaded, trained

BOXES = ("sac", "td3", "ddpg", "tqc", "crossq", "ars")
DISCRETE = ("ppo", "a2c", "trpo", "maskableppo", "dqn", "qrdqn")

CASES = [
    *((algorithm, "vector", FORCE) for algorithm in (*BOXES, "ppo")),
    *((algorithm, "vector", MOVES) for algorithm in (*DISCRETE, "ars")),
    ("ppo", "vector", DIALS),
    ("ppo", "vector", SWITCHES),
    ("maskableppo", "vector", DIALS),
    ("maskableppo", "vector", SWITCHES),
    ("ppo", "picture", MOVES),
    ("dqn", "coloured", MOVES),
    ("ppo", "several", MOVES),
    ("dqn", "number", MOVES),
]


def seen(environment, count=SLOTS):
    """Observations of different episodes."""
    return [environment.reset(seed) for seed in range(count)]


def answers(policy, environment, observations):
    """The policy's actions for one decision, each observation in a slot of its own."""
    for slot in range(len(observations)):
        policy.start(slot, environment)
    return policy.act([Decision(slot, each, np.random.default_rng(slot)) for slot, each in enumerate(observations)])


@pytest.mark.parametrize(("algorithm", "shows", "takes"), CASES)
def test_it_does_what_its_own_predict_does(agent, algorithm, shows, takes):
    path, environment = agent(algorithm, shows, takes), Small(shows, takes)
    observations = seen(environment)
    actions = answers(StableBaselines(path, trust=True), environment, observations)
    reference = loaded(path)
    for observation, action in zip(observations, actions, strict=True):
        shown = observation[..., None] if shows == "picture" else observation
        expected, _ = reference.predict(shown, deterministic=True)
        assert (action.shape, action.dtype) == (takes.shape, takes.dtype)
        np.testing.assert_allclose(action, expected, atol=0 if takes.dtype.kind == "i" else 1e-5)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_recurrent_agent_remembers_its_own_slot_alone(agent, deterministic):
    path, environment = agent("ppo_lstm", "vector", FORCE), Small("vector", FORCE)
    policy, rng = StableBaselines(path, deterministic=deterministic, trust=True), np.random.default_rng(0)
    reference, memory = loaded(path), {}
    for slot in (0, 1, 2):
        policy.start(slot, environment)
    for slots in ((0, 1, 2), (1,), (0, 2), (2, 1, 0), (0,)):
        shown = {slot: rng.normal(size=3) for slot in slots}
        actions = policy.act([Decision(slot, shown[slot], np.random.default_rng(slot)) for slot in slots])
        for slot, action in zip(slots, actions, strict=True):
            expected, memory[slot] = reference.predict(shown[slot], memory.get(slot), deterministic=True)
            if deterministic:
                np.testing.assert_allclose(action, expected, atol=1e-5)
    policy.start(1, environment)
    (action,) = policy.act([Decision(1, np.ones(3), np.random.default_rng(0))])
    (fresh,) = answers(StableBaselines(path, deterministic=deterministic, trust=True), environment, [np.ones(3)])
    np.testing.assert_array_equal(action, fresh)


@pytest.mark.parametrize("shows", ["picture", "coloured"])
def test_stacks_are_those_of_vecframestack(agent, shows):
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

    from tests.pipeline.policies.agents import Gym

    path, environment = agent("ppo", shows, MOVES, frames=3), Small(shows, MOVES)
    venv = VecFrameStack(DummyVecEnv([lambda: Gym(Small(shows, MOVES))]), 3)
    reference, policy, stacked = loaded(path), StableBaselines(path, trust=True), venv.reset()
    policy.start(2, environment)
    for _ in range(6):
        newest = stacked[0, ..., -1] if shows == "picture" else stacked[0, ..., -3:]
        (action,) = policy.act([Decision(2, newest, np.random.default_rng(0))])
        expected, _ = reference.predict(stacked, deterministic=True)
        assert action == expected[0]
        rows = policy._inputs.tensors[""].numpy()[2]
        np.testing.assert_array_equal(rows, np.moveaxis(stacked[0], -1, 0))
        stacked, _, _, _ = venv.step(expected)


@pytest.mark.parametrize(("shows", "frames"), [("vector", 1), ("several", 1), ("vector", 3)])
def test_vecnormalize_statistics_beside_the_zip_are_used(agent, shows, frames):
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from tests.pipeline.policies.agents import Gym

    path, environment = agent("ppo", shows, FORCE, frames=frames, normalize=True), Small(shows, FORCE)
    policy = StableBaselines(path, stack=frames if frames > 1 else None, trust=True)
    assert policy.identity()["normalize"] is not None
    venv = VecNormalize.load(str(path.parent / "vecnormalize.pkl"), DummyVecEnv([lambda: Gym(environment)]))
    observations = seen(environment)
    reference = loaded(path)
    for observation, action in zip(observations, answers(policy, environment, observations), strict=True):
        scaled = venv.normalize_obs(observation)
        if frames > 1:
            scaled = np.concatenate([np.zeros((frames - 1) * 3, np.float32), scaled])
        np.testing.assert_allclose(action, reference.predict(scaled, deterministic=True)[0], atol=1e-5)
    without = answers(
        StableBaselines(path, stack=policy._frames, normalize=False, trust=True), environment, observations
    )
    assert not np.allclose(without, answers(policy, environment, observations))


def draws(policy, environment, observation, count=1600):
    """(count, ...) actions for one observation, in all slots, each with its own generator."""
    generators = [np.random.default_rng([7, slot]) for slot in range(SLOTS)]
    for slot in range(SLOTS):
        policy.start(slot, environment)
    decisions = [Decision(slot, observation, generators[slot]) for slot in range(SLOTS)]
    return np.concatenate([np.stack(policy.act(decisions)) for _ in range(count // SLOTS)])


def tensor(observation):
    import torch

    return torch.as_tensor(np.asarray(observation)[None])


def test_sampled_moves_have_the_networks_probabilities(agent):
    path, environment = agent("ppo", "vector", MOVES), Small()
    observation = environment.reset(1)
    chances = loaded(path).policy.get_distribution(tensor(observation)).distribution.probs[0].detach().numpy()
    counts = np.bincount(draws(StableBaselines(path, deterministic=False, trust=True), environment, observation))
    assert (np.abs(counts - 1600 * chances) < 4 * np.sqrt(1600 * chances * (1 - chances))).all()


def test_every_part_of_a_sampled_action_has_its_own_probabilities(agent):
    path, environment = agent("ppo", "vector", DIALS), Small("vector", DIALS)
    observation = environment.reset(1)
    parts = loaded(path).policy.get_distribution(tensor(observation)).distribution
    drawn = draws(StableBaselines(path, deterministic=False, trust=True), environment, observation)
    for column, part in zip(drawn.T, parts, strict=True):
        chances = part.probs[0].detach().numpy()
        np.testing.assert_allclose(np.bincount(column) / len(column), chances, atol=0.06)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


def test_sampled_switches_have_the_networks_probabilities(agent):
    path, environment = agent("ppo", "vector", SWITCHES), Small("vector", SWITCHES)
    observation = environment.reset(1)
    chances = loaded(path).policy.get_distribution(tensor(observation)).distribution.probs[0].detach().numpy()
    drawn = draws(StableBaselines(path, deterministic=False, trust=True), environment, observation)
    np.testing.assert_allclose(drawn.mean(axis=0), chances, atol=0.06)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("ppo", {}),
        ("ppo", {"use_sde": True}),
        ("ppo", {"use_sde": True, "policy_kwargs": {"squash_output": True}}),
        ("sac", {}),
        ("sac", {"use_sde": True}),
        ("tqc", {}),
        ("crossq", {}),
    ],
)
def test_sampled_forces_have_the_networks_mean_and_deviation(agent, algorithm, settings):
    path, environment = agent(algorithm, "vector", FORCE, **settings), Small("vector", FORCE)
    observation, policy = environment.reset(1), loaded(path).policy
    policy.set_training_mode(False)
    if algorithm == "ppo":
        given = policy.get_distribution(tensor(observation))
    else:
        *parameters, more = policy.actor.get_action_dist_params(tensor(observation))
        given = policy.actor.action_dist.proba_distribution(*parameters, **more)
    mean, deviation = (each[0].detach().numpy() for each in (given.distribution.mean, given.distribution.stddev))
    drawn = draws(StableBaselines(path, deterministic=False, trust=True), environment, observation)
    if policy.squash_output:  # undo what makes them fit the bounds
        low, high = FORCE.low, FORCE.high
        inside = np.clip((drawn - low) / (high - low) * 2 - 1, -0.9999, 0.9999)
        expected = np.tanh(mean + deviation * np.random.default_rng(1).standard_normal((4000, 2))).mean(axis=0)
        np.testing.assert_allclose(inside.mean(axis=0), expected, atol=0.08)
    else:
        expected = np.clip(
            mean + deviation * np.random.default_rng(1).standard_normal((4000, 2)), FORCE.low, FORCE.high
        )
        np.testing.assert_allclose(drawn.mean(axis=0), expected.mean(axis=0), atol=0.15)
        np.testing.assert_allclose(drawn.std(axis=0), expected.std(axis=0), atol=0.15)


def test_dqn_explores_with_the_rate_in_its_zip(agent):
    path, environment = agent("dqn", "vector", MOVES), Small()
    rate = json.loads(zipfile.ZipFile(path).read("data"))["exploration_rate"]
    assert 0 < rate < 1
    observation = environment.reset(1)
    best, _ = loaded(path).predict(observation, deterministic=True)
    drawn = draws(StableBaselines(path, deterministic=False, trust=True), environment, observation)
    expected = 1 - rate * 2 / 3  # a random action of three is the best one at times
    assert abs(np.mean(drawn == best) - expected) < 4 * np.sqrt(expected * (1 - expected) / 1600)


@pytest.mark.parametrize("algorithm", ["td3", "ars"])
def test_some_agents_choose_alike_either_way(agent, algorithm):
    path, environment = agent(algorithm), Small("vector", FORCE)
    observations = seen(environment)
    pair = [
        answers(StableBaselines(path, deterministic=way, trust=True), environment, observations)
        for way in (True, False)
    ]
    np.testing.assert_array_equal(*pair)


class TestMoves(PolicyContract):
    @pytest.fixture(autouse=True)
    def trained(self, agent):
        self.path = agent("ppo", "vector", MOVES)

    def make(self):
        return StableBaselines(self.path, deterministic=False, trust=True)

    def environment(self):
        return Small()


class TestOddWidths(TestMoves):
    """A linear policy over seven numbers: matrix products round its rows by their place in the batch."""

    @pytest.fixture(autouse=True)
    def trained(self, agent):
        self.path = agent("ars", "odd", FORCE)

    def make(self):
        return StableBaselines(self.path, trust=True)

    def environment(self):
        return Small("odd", FORCE)


class TestForces(TestMoves):
    @pytest.fixture(autouse=True)
    def trained(self, agent):
        self.path = agent("sac", "vector", FORCE)

    def environment(self):
        return Small("vector", FORCE)


class TestPictures(TestMoves):
    @pytest.fixture(autouse=True)
    def trained(self, agent):
        self.path = agent("ppo", "picture", MOVES, frames=3)

    def environment(self):
        return Small("picture")


class TestRecurrent(TestMoves):
    @pytest.fixture(autouse=True)
    def trained(self, agent):
        self.path = agent("ppo_lstm", "vector", FORCE)

    def environment(self):
        return Small("vector", FORCE)


def test_a_project_domain_is_played_from_end_to_end(tmp_path):
    path = trained(tmp_path, "ppo", Toy("corner"))
    policy = StableBaselines(path, trust=True)
    assert policy.name == "ppo-40"
    assert 0 < rollout(Toy("corner"), policy, 3, np.random.default_rng(3)).length <= 60


def test_the_identity_says_what_was_played_and_needs_no_torch(agent):
    path = agent("sac")
    code = f"""
import json, sys
from pipeline.policies.sb3.agent import StableBaselines
identity = StableBaselines({str(path)!r}, trust=True).identity()
assert not {{"torch", "stable_baselines3", "gymnasium"}} & set(sys.modules)
print(json.dumps(identity))
"""
    told = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert {key: told[key] for key in ("name", "algorithm", "step", "deterministic", "width", "device")} == {
        "name": "sac-40",
        "algorithm": "sac",
        "step": 40,
        "deterministic": True,
        "width": SLOTS,
        "device": "cpu",
    }
    assert len(told["weights"]) == 64
    assert set(told["versions"]) == {"torch", "stable-baselines3"}
    assert told == StableBaselines(path, trust=True).identity()


def test_options_and_weights_move_the_identity(agent, tmp_path):
    path = agent("ppo", "vector", MOVES)
    plain = StableBaselines(path, trust=True).identity()
    (tmp_path / "ppo.zip").write_bytes(path.read_bytes())
    assert StableBaselines(tmp_path / "ppo.zip", trust=True).identity() == plain
    for changed in ({"deterministic": False}, {"padding": "first"}, {"stack": 2}, {"device": "cuda:1"}):
        assert StableBaselines(path, trust=True, **changed).identity() != plain
    assert StableBaselines(path, trust=True, device="cuda").identity()["device"] == "cuda"
    assert "sb3-contrib" in StableBaselines(agent("tqc"), trust=True).identity()["versions"]


def test_loading_an_agent_makes_no_replay_buffer_and_moves_no_random_state(agent):
    import torch

    path = agent("dqn", "coloured", MOVES)
    before = torch.random.get_rng_state()
    policy = StableBaselines(path, trust=True)
    answers(policy, Small("coloured"), seen(Small("coloured")))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not hasattr(policy._policy, "replay_buffer")


def test_acting_before_the_start_is_an_error(agent):
    with pytest.raises(RuntimeError, match="start"):
        StableBaselines(agent("ppo", "vector", MOVES), trust=True).act(
            [Decision(0, np.zeros(3), np.random.default_rng(0))]
        )
