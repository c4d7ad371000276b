"""Gymnasium's MuJoCo tasks against plain loops over Gymnasium itself."""

import sys
from functools import partial
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from pipeline.envs.mujoco import NAMES, MuJoCo
from pipeline.errors import InvalidInput, UnknownName
from pipeline.machine import extras
from pipeline.policies.random import uniform_action
from tests.contracts.environment import EnvironmentContract, play

pytest.importorskip("mujoco")
gymnasium = pytest.importorskip("gymnasium")

WIDTHS = {
    "ant": 27,
    "doublependulum": 11,
    "halfcheetah": 17,
    "hopper": 11,
    "humanoid": 376,
    "pendulum": 4,
    "pusher": 23,
}
WIDTHS |= {"reacher": 11, "standup": 376, "swimmer": 8, "walker": 17}
ACTIONS = {"ant": 8, "doublependulum": 1, "halfcheetah": 6, "hopper": 3, "humanoid": 17, "pendulum": 1, "pusher": 7}
ACTIONS |= {"reacher": 2, "standup": 17, "swimmer": 2, "walker": 6}


class TestHopper(EnvironmentContract):
    """Hopper falls, so its episodes terminate."""

    def factory(self):
        return partial(MuJoCo, task="hopper", max_steps=12, height=48, width=64)


@pytest.mark.parametrize("task", sorted(NAMES))
@pytest.mark.filterwarnings("ignore")
def test_an_episode_is_that_of_a_plain_loop_and_has_jats_widths(task):
    episode = play(MuJoCo(task, max_steps=40), 3)
    env = gymnasium.make(f"{NAMES[task]}-{'v5' if task == 'pusher' else 'v4'}", max_episode_steps=40)
    observation, _ = env.reset(seed=3)
    observations, rewards, infos, over = [observation], [], [], False
    for action in episode.steps["action"][:-1]:
        observation, reward, terminated, truncated, info = env.step(action)
        observations.append(observation)
        rewards.append(reward)
        infos.append(info)
        over = terminated or truncated
    assert over
    np.testing.assert_array_equal(episode.steps["observation"], observations)
    np.testing.assert_array_equal(episode.steps["reward"][:-1], rewards)
    assert (episode.terminated, episode.truncated) == (terminated, truncated)
    assert {name for name in episode.steps if name.startswith("info")} == {f"info/{key}" for key in infos[0]}
    for key in infos[0]:
        np.testing.assert_array_equal(episode.steps[f"info/{key}"][:-1], [info[key] for info in infos])
    assert episode.steps["observation"].shape[1] == WIDTHS[task]
    assert episode.steps["action"].shape[1] == ACTIONS[task]


def test_unset_limits_are_the_registered_ones():
    assert play(MuJoCo("reacher"), 0).length == 50


def test_another_version_is_another_identity():
    assert MuJoCo("ant", task_version="v5").identity()["id"] == "Ant-v5"
    with pytest.raises(UnknownName, match="v4, v5"):
        MuJoCo("ant", task_version="v3")
    with pytest.raises(UnknownName, match="halfcheetah"):
        MuJoCo("cheetah")


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        ("halfcheetah", {"x_position", "x_velocity", "reward_forward", "reward_ctrl"}),
        ("humanoid", {"tendon_length", "tendon_velocity", "reward_survive", "x_position", "distance_from_origin"}),
    ],
)
def test_infos_are_kept_as_they_were_at_their_step(task, keys):
    """Some are views of the simulator's memory, which the next step writes to."""
    environment = MuJoCo(task, task_version="v5", max_steps=8)
    environment.reset(0)
    rng = np.random.default_rng(0)
    infos = [environment.step(uniform_action(environment.action_spec, rng)).info for _ in range(8)]
    assert keys <= set(infos[0])
    moving = "tendon_length" if task == "humanoid" else "x_position"
    assert len({infos[step][moving].tobytes() for step in range(8)}) == 8


def test_the_infos_of_a_reset_are_those_of_gymnasium_and_stay_what_they_were():
    environment = MuJoCo("humanoid", task_version="v5", max_steps=8)
    environment.reset(3)
    kept = environment.reset_info
    environment.step(uniform_action(environment.action_spec, np.random.default_rng(0)))
    _, info = gymnasium.make("Humanoid-v5").reset(seed=3)
    assert kept.keys() == info.keys() >= {"x_position", "tendon_length"}
    for key, value in info.items():
        np.testing.assert_array_equal(kept[key], value)


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(InvalidInput, match=r"MuJoCo is not installed.*pip install 'repertoire\[mujoco\]'"):
        MuJoCo("hopper").reset(0)


def test_so_does_asking_for_the_identity(monkeypatch):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(extras, "version", absent)
    with pytest.raises(InvalidInput, match=r"pip install 'repertoire\[mujoco\]'"):
        MuJoCo("hopper").identity()


def test_there_is_no_scripted_expert():
    with pytest.raises(InvalidInput, match="policy=random"):
        MuJoCo("ant").expert()
