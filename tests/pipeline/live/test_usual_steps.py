"""Usual steps of a single environment are kept in a way of their own: what is stored is the same as of all others."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.live.log import EpisodeLog
from pipeline.live.single import RecordEpisodes

INFOS = (
    {},
    {"x": 0.5, "y": np.float64(2)},
    {"x": np.float32(0.1), "y": np.int64(3)},
    {"y": 1.0, "x": 2.0},
    {"x": 1.0, "y": None},
    {"x": "left", "y": True},
    {"x": np.bool_(True), "y": 2**70},
    {"x": 7, "y": float("nan")},
    {"x": np.int32(7), "y": -1},
    {"x": np.ones(2), "y": 1.0},
    {"x": {"a": 1.0}, "y": 1.0},
    {"x": 1.0, "success": True},
    {"x": 1.0, 3: 1.0},
    {"x": 1.0, True: 1.0},
)


class Changeable(gym.Env):
    """Mostly the same kind of step again; each `odd`-th hands out something else, and stays with a new kind of info."""

    observation_space = spaces.Box(-1e9, 1e9, (3, 2), np.float32)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, seed: int, odd: float, tells: float = 0.2, starts_wide: bool = False) -> None:
        self.rng, self.odd, self.tells, self.starts_wide = np.random.default_rng(seed), odd, tells, starts_wide
        self.buffer, self.info = np.zeros((3, 2), np.float32), INFOS[self.rng.integers(len(INFOS))]

    def reset(self, *, seed=None, options=None):
        self.buffer[:] = self.rng.normal(size=(3, 2))
        return self.buffer.astype(np.float64) if self.starts_wide else self.buffer, {"told": 1}

    def step(self, action):
        action[:] = 0  # it takes the array as its own
        self.buffer[:] = self.rng.normal(size=(3, 2))
        seen, reward, info = self.buffer, self.rng.normal(), dict(self.info)
        if self.rng.random() < self.odd:
            kinds = (seen.astype(np.float64), np.asfortranarray(seen), np.zeros((6, 2), np.float32)[::2], seen.tolist())
            seen = kinds[self.rng.integers(len(kinds))]
        if self.rng.random() < self.odd:
            reward = (1, np.float32(0.1), np.ones(1), True)[self.rng.integers(4)]
        if self.rng.random() < self.odd:
            self.info = INFOS[self.rng.integers(len(INFOS))]
        if self.rng.random() < self.odd * self.tells:
            info = {"final_obs": seen}
        terminated, truncated = self.rng.random(2) < 0.04
        return seen, reward, (bool(terminated), terminated)[self.rng.integers(2)], truncated, info


class NeverUsual(gym.Wrapper):
    """The same numbers in arrays that are never kept as usual steps are."""

    class Array(np.ndarray):
        pass

    def step(self, action):
        seen, *rest = self.env.step(action)
        return (seen.view(self.Array) if isinstance(seen, np.ndarray) else seen), *rest


def loop(env, steps, cut_off):
    """A user's loop, which sometimes resets in the middle, and reuses the memory of its actions."""
    rng, action = np.random.default_rng(7), np.zeros(2, np.float32)
    env.reset(seed=3)
    for number in range(steps):
        action[:] = rng.normal(size=2)
        _, _, terminated, truncated, _ = env.step(action if rng.random() < 0.95 else action.astype(np.float64))
        if np.any(terminated) or np.any(truncated) or rng.random() < cut_off:
            env.reset(seed=number)


def stored(root, env, steps=300, cut_off=0.01, unfinished="keep"):
    """The digests of all episodes, and what was noted."""
    with EpisodeLog(root, domain="gym", task="odd", dataset="d-v1", storage="bin", unfinished=unfinished) as log:
        loop(RecordEpisodes(env, log), steps, cut_off)
    artifact = Workspace(str(root), "bin").dataset("gym", "odd", "d-v1")
    return [episode.digest() for episode in EpisodeDataset.of(artifact)], artifact.manifest.warnings


@pytest.mark.parametrize("unfinished", ["keep", "drop"])
@pytest.mark.parametrize("odd", [0.0, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_usual_steps_are_stored_as_all_others_are(tmp_path, seed, odd, unfinished):
    envs = Changeable(seed, odd), NeverUsual(Changeable(seed, odd))
    usual, others = (stored(tmp_path / str(number), env, unfinished=unfinished) for number, env in enumerate(envs))
    assert len(usual[0]) > 2
    assert usual == others


def test_a_first_observation_of_another_type_is_stored_as_before(tmp_path):
    envs = Changeable(1, 0.0, starts_wide=True), NeverUsual(Changeable(1, 0.0, starts_wide=True))
    usual, others = (stored(tmp_path / str(number), env) for number, env in enumerate(envs))
    assert usual == others


class Long(Changeable):
    """Its only episode ends at a given step."""

    def __init__(self, length: int) -> None:
        super().__init__(0, 0.0)
        self.left, self.info = length, {"x": 0.5, "word": "on", "whole": 3}

    def step(self, action):
        seen, reward, _, _, info = super().step(action)
        self.left -= 1
        return seen, reward, self.left == 0, False, info


@pytest.mark.parametrize("length", [1, 2, 30_000])
def test_an_episode_of_any_length_is_the_same(tmp_path, length):
    envs = Long(length), NeverUsual(Long(length))
    usual, others = (stored(tmp_path / str(number), env, length, cut_off=0.0) for number, env in enumerate(envs))
    assert len(usual[0]) == 1
    assert usual == others


class Odd(Changeable):
    """Ends every ten steps; at one step it gives another reward or another end."""

    def __init__(self, number, **instead):
        super().__init__(0, 0.0)
        self.count, self.number, self.instead = 0, number, instead

    def step(self, action):
        seen, reward, *_, info = super().step(action)
        self.count += 1
        usual = {"reward": reward, "terminated": self.count % 10 == 0}
        answer = {**usual, **(self.instead if self.count == self.number else {})}
        return seen, answer["reward"], answer["terminated"], False, info


def test_an_end_that_is_no_truth_value_loses_its_episode_alone(tmp_path):
    digests, warnings = stored(tmp_path, Odd(5, terminated=np.zeros(2)), 30, cut_off=0.0)
    assert len(digests) == 2
    assert any("4 steps) was left out" in line for line in warnings)


def test_a_reward_that_is_not_finite_in_usual_steps_names_them_all(tmp_path):
    digests, warnings = stored(tmp_path, Odd(15, reward=np.inf), 30, cut_off=0.0)
    assert len(digests) == 2
    assert any("10 steps" in line and "reward holds NaN or infinity, first at step 4" in line for line in warnings)
