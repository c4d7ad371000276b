"""Meta-World against plain loops over the package itself, for every task."""

from __future__ import annotations

import math
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.envs.metaworld import MetaWorld
from pipeline.errors import InvalidInput, NoRenderer, UnknownName
from pipeline.policies.scripted import Scripted
from pipeline.rollout.rollout import rollout
from tests.contracts.environment import EnvironmentContract, play

pytest.importorskip("metaworld")

from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP

CONF = Path(__file__).parents[3] / "conf" / "domain" / "metaworld.yaml"
TASKS = sorted(name.removesuffix("-v3") for name in ALL_V3_ENVIRONMENTS)
SEED = 11


class TestMetaWorld(EnvironmentContract):
    """Basketball, because its goal is a view into the simulator's own memory."""

    def factory(self):
        return partial(MetaWorld, task="basketball", max_steps=12, picture=64)


def plain_loop(task: str, seed: int, steps: int) -> tuple[list[np.ndarray], list[float], bool]:
    """Observations, rewards and success of the package's expert, its actions given to the package as they are."""
    env: Any = ALL_V3_ENVIRONMENTS[f"{task}-v3"]()
    env._partially_observable = False
    del env.sawyer_observation_space
    env._freeze_rand_vec, env.seeded_rand_vec, env._set_task_called = False, True, True
    policy = ENV_POLICY_MAP[f"{task}-v3"]()
    env.seed(seed)
    observations, rewards, solved = [env.reset()[0]], [], False
    for _ in range(steps):
        shown = observations[-1].copy()  # some experts write into what they are handed
        observation, reward, *_, info = env.step(policy.get_action(shown))
        observations.append(observation)
        rewards.append(float(reward))
        solved = solved or info["success"] == 1
    return observations, rewards, solved


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.filterwarnings("ignore:Constant")
def test_an_expert_episode_is_that_of_a_plain_loop(task: str):
    environment = MetaWorld(task)
    play(environment, SEED + 1, limit=3)  # the object is used, the plain loop's is fresh
    episode = rollout(environment, Scripted(), SEED, np.random.default_rng(0))
    observations, rewards, solved = plain_loop(task, SEED, 100)
    np.testing.assert_array_equal(episode.steps["observation"], observations)
    np.testing.assert_array_equal(episode.steps["reward"][:-1], rewards)
    assert episode.total_reward == math.fsum(rewards)
    assert episode.success == int(solved)
    assert np.abs(episode.steps["action"]).max() <= 1


def test_the_configuration_names_all_fifty_tasks():
    domain = yaml.safe_load(CONF.read_text())
    assert sorted(domain["tasks"]) == TASKS
    assert len(TASKS) == 50
    assert len(set(domain["tasks"]) - set(domain["unseen"])) == 45


def test_the_goal_is_observed_and_differs_between_episodes():
    environment = MetaWorld("reach")
    goals = [environment.reset(seed)[-3:].tolist() for seed in range(3)]
    assert all(any(goal) for goal in goals)
    assert len({tuple(goal) for goal in goals}) == 3


def test_success_is_that_of_any_step():
    episode = rollout(MetaWorld("reach"), Scripted(), SEED, np.random.default_rng(0))
    assert episode.success == int(episode.steps["info/success"].max()) == 1
    assert episode.end_reason == "time_limit"
    assert not episode.terminated


def test_the_expert_does_not_warn():
    environment = MetaWorld("reach", max_steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rollout(environment, Scripted(), SEED, np.random.default_rng(0))


def test_the_identity_names_the_simulator_and_the_limit():
    identity = MetaWorld("reach", max_steps=7, camera="topview", picture=32).identity()
    assert set(identity) == {"simulator", "versions", "goal_observable", "max_steps"}
    assert identity["max_steps"] == 7
    assert set(identity["versions"]) == {"metaworld", "mujoco"}


@pytest.mark.parametrize("max_steps", [0, 501])
def test_an_impossible_limit_is_refused(max_steps: int):
    with pytest.raises(InvalidInput, match="1 to 500"):
        MetaWorld("reach", max_steps=max_steps)


def test_the_longest_episode_is_played_to_its_end():
    episode = play(MetaWorld("reach", max_steps=500), SEED)
    assert episode.length == 500


def test_an_unknown_task_lists_the_nearest():
    with pytest.raises(UnknownName, match="pick-place"):
        MetaWorld("pick-plaec").reset(SEED)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "metaworld.env_dict", None)
    with pytest.raises(InvalidInput, match=r"pip install 'repertoire\[metaworld\]'"):
        MetaWorld("reach").reset(SEED)


@pytest.mark.render
def test_a_picture_is_the_right_way_up():
    environment = MetaWorld("reach")
    environment.reset(SEED)
    try:
        picture = environment.render().astype(int)
    except NoRenderer as error:
        pytest.skip(str(error))
    assert picture.shape == (224, 224, 3)
    brownness = picture[..., 0] - picture[..., 2]
    assert np.abs(brownness[:30, 100:]).max() < 20  # grey background above
    assert brownness[-30:, 100:160].mean() > 20  # wooden table below


@pytest.mark.render
def test_an_unknown_camera_is_refused():
    environment = MetaWorld("reach", camera="corner9")
    environment.reset(SEED)
    with pytest.raises(UnknownName, match="corner4"):
        environment.render()


def test_the_record_of_door_open_is_what_the_simulator_showed():
    """Its expert subtracts 0.05 from the handle's place, inside the array that it was given."""
    episode = play(MetaWorld("door-open"), SEED)
    again = MetaWorld("door-open")
    np.testing.assert_array_equal(again.reset(SEED), episode.steps["observation"][0])
    for step, action in enumerate(episode.steps["action"][:-1]):
        np.testing.assert_array_equal(again.step(action).observation, episode.steps["observation"][step + 1])
