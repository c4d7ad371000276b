"""Entropy and value of each decision, as the policy itself has them, in any slot."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.interfaces import Decision, Telling
from pipeline.policies.mixed import Mixed
from pipeline.policies.network import SLOTS
from pipeline.policies.outputs import ENTROPY, VALUE, entropy_of
from pipeline.policies.random import Random
from pipeline.policies.sb3.agent import StableBaselines
from pipeline.policies.torch_module import TorchModule
from pipeline.rollout.rollout import Start, play, rollout
from tests.conftest import collected
from tests.pipeline.policies.agents import DIALS, FORCE, MOVES, SWITCHES, Small, loaded

NAMES = (f"info/{ENTROPY}", f"info/{VALUE}")


def expected(model, observation):
    """What Stable-Baselines3 says of one observation."""
    import torch

    with torch.no_grad():
        seen = torch.as_tensor(np.asarray(observation, np.float32)[None])
        return float(model.policy.get_distribution(seen).entropy()), float(model.policy.predict_values(seen))


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(
    ("algorithm", "takes"),
    [("ppo", FORCE), ("ppo", DIALS), ("ppo", SWITCHES), ("a2c", MOVES), ("trpo", MOVES), ("maskableppo", MOVES)],
)
def test_an_actor_critic_tells_what_stable_baselines_says(agent, algorithm, takes, deterministic):
    path, environment = agent(algorithm, "vector", takes), Small("vector", takes)
    policy = StableBaselines(path, deterministic=deterministic, trust=True, outputs=True)
    episode = rollout(environment, policy, 3, np.random.default_rng(0))
    silent = rollout(
        environment, StableBaselines(path, deterministic=deterministic, trust=True), 3, np.random.default_rng(0)
    )
    model = loaded(path)
    for name in NAMES:
        assert episode.steps[name].dtype == np.float32
        assert episode.steps[name][-1] == 0
    told = np.stack([episode.steps[name][:-1] for name in NAMES], axis=1)
    wanted = [expected(model, seen) for seen in episode.steps["observation"][:-1]]
    np.testing.assert_allclose(told, wanted, rtol=1e-5, atol=1e-6)
    assert len(np.unique(told[:, 1])) > 1
    assert {name: array.tobytes() for name, array in episode.steps.items() if name not in NAMES} == {
        name: array.tobytes() for name, array in silent.steps.items()
    }


def test_a_recurrent_critic_remembers_its_own_episode(agent):
    import torch
    from sb3_contrib.common.recurrent.type_aliases import RNNStates

    path, environment = agent("ppo_lstm", "vector", FORCE), Small("vector", FORCE)
    policy, model = StableBaselines(path, trust=True, outputs=True), loaded(path).policy
    episodes = {slot: np.random.default_rng(slot).normal(size=(6, 3)).astype(np.float32) for slot in (0, 1)}
    for slot in episodes:
        policy.start(slot, environment)
    told = {slot: [] for slot in episodes}
    for slots in ((0, 1), (1,), (0,), (1, 0), (1,), (1,), (1,), (0,)):  # one slot rests while the other goes on
        policy.act([Decision(slot, episodes[slot][len(told[slot])], np.random.default_rng(0)) for slot in slots])
        for slot in slots:
            told[slot].append(policy.outputs(slot)[VALUE])
    for slot, values in told.items():
        shape = model.lstm_hidden_state_shape
        fresh = (torch.zeros(shape), torch.zeros(shape))
        states = RNNStates(fresh, fresh)
        for value, seen in zip(values, episodes[slot], strict=False):
            with torch.no_grad():
                _, wanted, _, states = model.forward(torch.as_tensor(seen[None]), states, torch.zeros(1), True)
            np.testing.assert_allclose(value, float(wanted), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("algorithm", ["ppo", "ppo_lstm"])
def test_what_is_told_depends_neither_on_the_slot_nor_on_the_others(agent, algorithm):
    path = agent(algorithm, "vector", FORCE)
    policy = Mixed(StableBaselines(path, deterministic=False, trust=True, outputs=True), 0.3)
    starts = [Start(index, index, np.random.default_rng(index)) for index in range(SLOTS + 3)]
    together = play([Small("vector", FORCE, 9) for _ in range(SLOTS)], policy, iter(starts))
    for each in together:
        alone = rollout(Small("vector", FORCE, 9), policy, each.index, np.random.default_rng(each.index))
        assert each.episode.digest() == alone.digest()
        assert NAMES[0] in alone.steps


def test_a_network_with_logits_tells_their_entropy(tmp_path):
    import torch

    torch.manual_seed(0)
    module = torch.jit.script(torch.nn.Linear(3, 3))
    torch.jit.save(module, tmp_path / "agent.pt")
    options = {"file": tmp_path / "agent.pt", "input_dtype": "float32", "trust": True}
    policy = TorchModule(**options, outputs=True)
    episode = rollout(Small(), policy, 1, np.random.default_rng(0))
    with torch.no_grad():
        logits = module(torch.as_tensor(episode.steps["observation"][:-1], dtype=torch.float32))
    wanted = torch.distributions.Categorical(logits=logits).entropy().numpy()
    np.testing.assert_allclose(episode.steps[NAMES[0]][:-1], wanted, rtol=1e-5)
    assert NAMES[1] not in episode.steps
    assert policy.identity() == {**TorchModule(**options).identity(), "outputs": True}


def test_entropy_is_zero_where_one_choice_has_all_and_the_logarithm_of_n_where_all_are_alike():
    assert entropy_of(np.float32([0, -np.inf, -np.inf])) == 0
    np.testing.assert_allclose(entropy_of(np.full(8, 1e30, np.float32)), np.log(8), rtol=1e-6)


def test_outputs_are_part_of_the_identity_only_when_they_are_asked_for(agent):
    path = agent("ppo", "vector", MOVES)
    silent, telling = (StableBaselines(path, trust=True, outputs=outputs).identity() for outputs in (False, True))
    assert "outputs" not in silent
    assert telling == {**silent, "outputs": True}


@pytest.mark.parametrize("algorithm", ["dqn", "sac"])
def test_an_agent_without_a_value_of_observations_says_which_have_one(agent, algorithm):
    policy = StableBaselines(agent(algorithm), trust=True, outputs=True)
    with pytest.raises(InvalidInput, match=rf"(?s)an agent of {algorithm}.*neither.*ppo, a2c, trpo"):
        policy.identity()


def test_a_network_that_gives_actions_has_no_entropy(tmp_path):
    with pytest.raises(InvalidInput, match=r"(?s)gives actions.*neither"):
        TorchModule(tmp_path / "agent.pt", "actions", trust=True, outputs=True)


def test_a_policy_that_tells_nothing_is_refused_by_the_stage(toy: Domain, tmp_path):
    assert not isinstance(Random(), Telling)
    with pytest.raises(InvalidInput, match=r"(?s)policy=random has neither.*policy=sb3"):
        collected(toy, Workspace(str(tmp_path)), policy=Random, outputs=True)


class Shouting(Small):
    """An environment with an info of that name."""

    def step(self, action):
        transition = super().step(action)
        return dataclasses.replace(transition, info={ENTROPY: 1.0})


def test_an_info_of_the_same_name_is_not_written_over(agent):
    policy = StableBaselines(agent("ppo", "vector", MOVES), trust=True, outputs=True)
    with pytest.raises(InvalidInput, match=rf"the info {ENTROPY}"):
        rollout(Shouting(), policy, 0, np.random.default_rng(0))
