"""Keys that are paths, numbers, too long or inside one another, and numbers that a cast would change, at every door."""

from __future__ import annotations

from functools import partial
from typing import Any

import dm_env
import gymnasium as gym
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from pipeline.dataset.spill import save_episode, spill_path
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.gym.environment import Gym
from pipeline.episode import Episode
from pipeline.errors import InvalidEpisode
from pipeline.live.dm import RecordDmEpisodes
from pipeline.live.log import EpisodeLog
from pipeline.live.single import RecordEpisodes
from pipeline.live.vector import RecordVectorEpisodes
from pipeline.policies.random import Random
from stages import verify
from tests.conftest import STORAGES, collected

STEPS = 3
LONG = "суммарное вознаграждение агента за текущий эпизод обучения"
KEYS = [
    "camera",
    "camera/depth",
    "..",
    "/x",
    ".",
    " ",
    LONG,
    LONG + "!",
    "é",
    "e\u0301",
    "Speed",
    "speed",
    "zarr.json",
    1,
]
"""Of an observation; `1` is there as a number."""

INFOS: list[dict[Any, Any]] = [
    {"a": 1.0, "b": {"c": 2.0}, 0: 3.0, "0": 4.0, LONG: 5.0},
    {"a": {"x": 6.0, "": {"..": 7.0}}, "b": 8.0, "A": 9.0, 0: 10.0},
    {"a": 11.0, "b": {"c": 12.0, "c/d": 13.0}, "a.bin": {"y": 14.0}, "": 15.0},
]
"""Of one episode each: what is a number in one is a mapping in the next."""


def values(infos: dict[Any, Any]) -> list[float]:
    return [each for value in infos.values() for each in (values(value) if isinstance(value, dict) else [value])]


class Odd(gym.Env):
    """Every key of its observation holds its place among the keys, plus a hundredth for each step."""

    observation_space = spaces.Dict({key: spaces.Box(-99, 99, (1,), np.float64) for key in KEYS})
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.episode = 0, self.episode + 1
        return self.seen(), {}

    def step(self, action):
        self.steps += 1
        return self.seen(), 0.0, self.steps == STEPS, False, self.told()

    def seen(self):
        return {key: np.array([number + self.steps / 100]) for number, key in enumerate(KEYS)}

    def told(self):
        return INFOS[self.episode % len(INFOS)]


class Numbered(Odd):
    """The infos without a mapping, which Gymnasium's vectors cannot join with a number of the same name."""

    def told(self):
        return {0: 1.0, 1: {0: 2.0}, LONG: 3.0, "..": 4.0}


class OddDm(dm_env.Environment):
    """The same observations without Gymnasium."""

    def reset(self):
        self.steps = 0
        return dm_env.restart(Odd.seen(self))

    def step(self, action):
        self.steps += 1
        return (dm_env.termination if self.steps == STEPS else dm_env.transition)(0.0, Odd.seen(self))

    def observation_spec(self):
        return {key: specs.Array((1,), np.float64) for key in KEYS}

    def action_spec(self):
        return specs.DiscreteArray(2)


def opened(root, storage="zarr", **settings):
    return EpisodeLog(root, domain="gym", task="odd", dataset="d-v1", storage=storage, **settings)


def single(log, episodes: int) -> None:
    env = RecordEpisodes(Odd(), log)
    for _ in range(episodes):
        env.reset()
        for _ in range(STEPS):
            env.step(0)


def dm(log, episodes: int) -> None:
    env = RecordDmEpisodes(OddDm(), log)
    for _ in range(episodes):
        env.reset()
        for _ in range(STEPS):
            env.step(0)


def vector(log, episodes: int) -> None:
    env = RecordVectorEpisodes(SyncVectorEnv([Numbered]), log)
    env.reset()
    for _ in range(episodes * (STEPS + 1)):
        env.step(np.array([0]))


def live(play, root, storage: str, episodes: int) -> None:
    with opened(root, storage) as log:
        play(log, episodes)


def stored(root) -> list[Episode]:
    workspace = Workspace(str(root))
    verify.run(domain=None, only=None, workspace=workspace, audit=None, workers=1)  # raises where anything is wrong
    return list(workspace[next(iter(workspace))])


def starting(episode: Episode, prefix: str) -> list[float]:
    return sorted(float(np.ravel(array[0])[0]) for name, array in episode.steps.items() if name.startswith(prefix))


def assert_all_there(episodes: list[Episode], infos: list[dict[Any, Any]]) -> None:
    names = {name for name in episodes[0].steps if name.startswith("observation/")}
    assert {"observation/camera", "observation/camera%2Fdepth", "observation/%2E%2E", "observation/1"} <= names
    assert [starting(episode, "observation/") for episode in episodes] == [list(range(len(KEYS)))] * len(infos)
    assert [starting(episode, "info/") for episode in episodes] == [sorted(values(each)) for each in infos]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(("door", "infos"), [(single, INFOS), (vector, [Numbered.told(None)] * 3), (dm, [{}] * 3)])
def test_every_value_that_is_recorded_comes_back_whatever_its_key(tmp_path, door, infos, storage: str):
    live(door, tmp_path, storage, 3)
    assert_all_there(stored(tmp_path), infos)


def test_every_value_that_is_collected_comes_back_and_replays(tmp_path):
    environment = partial(Gym, env_id="Odd-v0", entry_point=f"{__name__}:Odd")
    domain = Domain("gym", None, 1, environment, ["odd-v0"], Regent(8, 5, 20, 150))
    workspace = Workspace(str(tmp_path))
    collected(domain, workspace, "odd-v0", policy=Random, dataset="d-v1", episodes=3)
    assert_all_there(stored(tmp_path), INFOS)
    verify.run(domain=domain, only=None, workspace=workspace, audit="replay", workers=1)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_log_that_met_odd_keys_goes_on_in_the_next_session(tmp_path, storage: str):
    for _ in range(2):
        live(single, tmp_path, storage, len(INFOS))
    episodes = stored(tmp_path)
    assert [starting(episode, "info/") for episode in episodes] == [sorted(values(each)) for each in INFOS] * 2
    assert [sorted(episode.steps) for episode in episodes[:3]] == [sorted(episode.steps) for episode in episodes[3:]]


def plain(names: dict[str, float]) -> Episode:
    """An episode that somebody else made, of one step."""
    return Episode(
        {
            **{name: np.full((2, 1), float(value)) for name, value in names.items() if name.startswith("observation")},
            **{name: np.array([value, 0.0]) for name, value in names.items() if name.startswith("info")},
            "action": np.zeros(2, np.int32),
            "reward": np.zeros(2),
            "discount": np.zeros(2),
        },
        terminated=True,
    )


def test_a_log_that_an_earlier_version_left_with_a_name_too_long_opens_again(tmp_path):
    with opened(tmp_path) as log:
        log.append(plain({"observation": 1.0}))
        log.commit()
        left = plain({"observation": 2.0, f"info/{'%D0%AF' * 60}": 3.0, "info/a": 4.0, "info/a/b": 5.0})
        save_episode(spill_path(log._writer.spill, 1), left)  # as the killed session did
        log._release()
    with opened(tmp_path) as log:
        assert len(log) == 2
    assert starting(stored(tmp_path)[1], "info/") == [3.0, 4.0, 5.0]


@pytest.mark.parametrize("name", ["info/../../up", "info/", "info//x", "info/a\0b", "observation/.", "info/\ud800"])
def test_a_name_that_leaves_its_folder_is_no_name_of_an_array(name):
    with pytest.raises(InvalidEpisode, match="cannot name an array"):
        plain({"observation": 1.0, name: 2.0})


def test_a_dataset_whose_keys_were_written_as_they_are_goes_on(tmp_path):
    names = {f"observation/{key}": number for number, key in enumerate(["walker/joints", "walker/feet", "камера"])}
    with opened(tmp_path) as log:
        log.append(plain(names))

    class Walker(OddDm):
        def reset(self):
            return dm_env.restart(self.seen())

        def step(self, action):
            return dm_env.termination(0.0, self.seen())

        def seen(self):
            return {
                key: np.array([number + 0.0]) for number, key in enumerate(["walker/joints", "walker/feet", "камера"])
            }

    with opened(tmp_path) as log:
        env = RecordDmEpisodes(Walker(), log)
        env.reset()
        env.step(0)
    first, second = stored(tmp_path)
    for name, number in names.items():
        np.testing.assert_array_equal(first.steps[name], [[number], [number]])
        np.testing.assert_array_equal(second.steps[name], [[number], [number]])
