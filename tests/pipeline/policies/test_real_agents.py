"""Agents of other people: REPERTOIRE_AGENTS names a folder laid out as DLR-RM/rl-trained-agents, plus PPO on Pong."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.envs.atari import Atari
from pipeline.envs.mujoco import MuJoCo
from pipeline.policies.sb3 import StableBaselines
from pipeline.policies.sb3_zip import AgentFile
from pipeline.rollout import Start, play

AGENTS = os.environ.get("REPERTOIRE_AGENTS")
pytestmark = pytest.mark.skipif(not AGENTS, reason="REPERTOIRE_AGENTS is not set")


def agent(name: str) -> Path:
    return Path(str(AGENTS)) / name


def scores(path: Path, make, seeds) -> list[float]:
    starts = iter([Start(number, seed, np.random.default_rng(seed)) for number, seed in enumerate(seeds)])
    policy = StableBaselines(path, trust=True)
    return [played.episode.total_reward for played in play([make() for _ in seeds], policy, starts)]


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_a_cheetah_runs(version):
    path = agent("sac/HalfCheetah-v3/HalfCheetah-v3.zip")
    assert min(scores(path, partial(MuJoCo, "halfcheetah", task_version=version), [0])) > 9000


def test_a_hopper_hops():
    assert np.mean(scores(agent("sac/Hopper-v3/Hopper-v3.zip"), partial(MuJoCo, "hopper"), range(8))) > 1000


def test_spaces_of_the_old_gym_are_read():
    cartpole = AgentFile(agent("ppo/CartPole-v1/CartPole-v1.zip"))
    assert cartpole.name.startswith("ppo-")
    assert (cartpole.observations.spec.shape, int(cartpole.actions.spec.high)) == ((4,), 1)


def test_a_pong_player_wins():
    path = agent("ppo/PongNoFrameskip-v4/rl_model_2000000_steps.zip")
    assert min(scores(path, partial(Atari, "pong", sticky=0.0, noops=30), [100])) > 15
