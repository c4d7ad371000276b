"""Names of discrete actions, from what a manifest says."""

from __future__ import annotations

import ale_py
import gymnasium
import pytest

from pipeline.domains.actions import _GYMNASIUM, TOY, action_names
from pipeline.domains.atari import ACTIONS, minimal_actions
from pipeline.domains.babyai import MOVES
from pipeline.envs.gym.environment import Gym
from pipeline.envs.gym.names import task_of_id
from pipeline.envs.toy import Toy

gymnasium.register_envs(ale_py)


def names_of(env_id: str, **arguments: object) -> list[str]:
    environment = Gym(task_of_id(env_id), env_id, env_kwargs=arguments)
    try:
        return list(action_names({"environment": environment.identity()}).values())
    finally:
        environment.close()


def test_names_come_from_the_console_or_from_the_log():
    assert action_names({"environment": {"actions": ["NOOP", "UP"]}}) == {0: "NOOP", 1: "UP"}
    assert action_names({"source": {"actions": [0, 11]}}) == {0: "NOOP", 1: "RIGHTFIRE"}
    assert action_names({"source": {"actions": [99]}}) == action_names({"environment": {}}) == {}


def test_the_toy_world_has_names():
    assert action_names({"environment": dict(Toy("corner").identity())}) == dict(enumerate(TOY))


def test_minigrid_has_the_seven_of_babyai():
    assert action_names({"environment": {"simulator": "minigrid"}}) == dict(enumerate(MOVES))
    assert action_names({"environment": {"entry_point": "minigrid.envs.empty:EmptyEnv"}}) == dict(enumerate(MOVES))


def test_a_console_of_gymnasium_has_the_emulators_names():
    assert names_of("ALE/KungFuMaster-v5") == [ACTIONS[n] for n in minimal_actions("kungfumaster")]
    assert names_of("ALE/Pong-v5", full_action_space=True) == list(ACTIONS)
    assert names_of("ALE/Pong-v5", continuous=True) == []


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1"])
def test_gymnasiums_own_have_as_many_names_as_actions(env_id: str):
    assert len(names_of(env_id)) == gymnasium.make(env_id).action_space.n


def test_every_name_is_of_an_environment_that_gymnasium_has():
    classes = {str(spec.entry_point).rpartition(":")[2] for spec in gymnasium.registry.values()}
    assert set(_GYMNASIUM) <= classes


def test_continuous_actions_and_other_projects_have_none():
    assert names_of("Pendulum-v1") == []
    assert action_names({"environment": {"entry_point": "my_envs:CartPoleEnv"}}) == {}
