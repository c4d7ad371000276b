"""Environments that reset themselves: all their episodes are kept, each with its own boundaries."""

from __future__ import annotations

import dm_env
import numpy as np
import pytest
from dm_env import specs
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import Autoreset, TimeLimit, TransformReward

from pipeline.live.dm import RecordDmEpisodes
from pipeline.live.vector import RecordVectorEpisodes
from tests.pipeline.envs.gym_envs import ResetsItself
from tests.pipeline.live.odd import LENGTH, Odd, recorded

COUNT = 8


def steps(count):
    """A loop that resets once."""

    def loop(env):
        env.reset(seed=3)
        for _ in range(count):
            env.step(0)

    return loop


def whole(episodes, last=True):
    """Whether these are the first episodes of `Odd`, with their last observations or without."""
    return all(
        episode.steps["observation"].tolist()
        == [[number, step if step < LENGTH or last else 0] for step in range(LENGTH + last)] + [[0, 0]] * (not last)
        for number, episode in enumerate(episodes)
    )


@pytest.mark.parametrize(
    "wrap",
    [
        Autoreset,
        lambda env: TimeLimit(Autoreset(env), 1000),
        lambda env: TransformReward(Autoreset(TimeLimit(env, 1000)), lambda reward: reward),
    ],
)
def test_a_wrapper_that_resets_at_the_next_step_leaves_all_episodes_whole(tmp_path, wrap):
    env = wrap(Odd(told=lambda e, s: {"x": e}))
    episodes, warnings = recorded(tmp_path, env, steps(COUNT * (LENGTH + 1)))
    assert (len(episodes), warnings) == (COUNT, [])
    assert whole(episodes)
    assert [int(episode.reset_info["x"]) for episode in episodes] == list(range(COUNT))
    assert [episode.seed for episode in episodes] == [3] + [-1] * (COUNT - 1)


@pytest.mark.parametrize("key", ["final_obs", "final_observation", "terminal_observation"])
def test_a_wrapper_that_resets_in_the_last_step_leaves_all_episodes_whole(tmp_path, key):
    env = TimeLimit(ResetsItself(Odd(), tells=key), 1000)
    episodes, warnings = recorded(tmp_path, env, steps(COUNT * LENGTH))
    assert (len(episodes), warnings) == (COUNT, [])
    assert whole(episodes)
    assert not any("info" in name for name in episodes[0].steps)


@pytest.mark.parametrize("hides", [False, True])
def test_a_last_observation_that_is_not_handed_out_is_lost_and_marked_so(tmp_path, hides):
    env = ResetsItself(Odd(), hides=hides)
    episodes, warnings = recorded(tmp_path, env, steps(COUNT * LENGTH))
    assert len(episodes) == COUNT
    for number, episode in enumerate(episodes):
        rows = [[number, step] for step in range(LENGTH)]
        assert episode.steps["observation"].tolist() == [*rows, [0, 0]]
        assert not episode.has_final_observation
        assert (episode.terminated, episode.end_reason) == ((False, "source") if hides else (True, "terminated"))
    assert len(warnings) == 1 + hides


def test_an_environment_that_calls_its_own_reset_is_noticed(tmp_path):
    class Endless(Odd):
        def step(self, action):
            seen, reward, terminated, truncated, info = super().step(action)
            if terminated:
                info = {"final_obs": seen}
                seen, _ = self.reset()
            return seen, reward, terminated, truncated, info

    episodes, _ = recorded(tmp_path, Endless(), steps(COUNT * LENGTH))
    assert len(episodes) == COUNT
    assert whole(episodes)


def test_steps_beyond_an_end_are_told(tmp_path):
    episodes, warnings = recorded(tmp_path, Odd(), steps(LENGTH + 2))
    assert len(episodes) == 1
    assert [line.split(";")[0] for line in warnings] == [
        "steps came after the end of an episode and before a reset",
    ]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_environments_that_reset_themselves_inside_of_a_vector_lose_their_last_observation(tmp_path, mode):
    def loop(envs):
        envs.reset(seed=0)
        for _ in range(COUNT * (LENGTH + 1)):
            envs.step(np.zeros(2, int))

    envs = SyncVectorEnv([lambda: ResetsItself(Odd())] * 2, autoreset_mode=mode)
    episodes, _ = recorded(tmp_path, envs, loop, RecordVectorEpisodes)
    assert len(episodes) >= 2 * COUNT
    for episode in episodes:
        assert (episode.length, episode.has_final_observation) == (LENGTH, False)
        assert np.unique(episode.steps["observation"][:-1, 0]).size == 1
        assert episode.steps["observation"][:, 1].tolist() == [0, 1, 2, 0]


class Climb(dm_env.Environment):
    """Three steps an episode; `begins` the next one in the place of the last step, or `skips` its first step."""

    def __init__(self, begins: bool = False, skips: bool = False) -> None:
        self.begins, self.skips, self.at, self.over = begins, skips, 0, True

    def reset(self):
        self.at, self.over = 0, False
        return dm_env.restart(np.float32([0]))

    def step(self, action):
        if self.over:
            return self.reset()
        self.at += 1
        seen = np.float32([self.at])
        if self.at < LENGTH:
            return dm_env.transition(np.array([1.0]), seen)
        if self.begins:
            return self.reset()
        self.over = True
        if self.skips:
            self.reset()
        return dm_env.termination(1.0, seen)

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


def test_a_sequence_that_begins_before_the_last_one_has_ended_ends_that_one(tmp_path):
    episodes, warnings = recorded(tmp_path, Climb(begins=True), lambda env: climb(env, 9), RecordDmEpisodes)
    assert [(episode.length, episode.end_reason) for episode in episodes] == [(2, "source")] * 3
    assert [episode.steps["observation"][:, 0].tolist() for episode in episodes] == [[0, 1, 2]] * 3
    assert ["without saying that one had ended" in line for line in warnings] == [True]


def test_a_sequence_whose_first_step_nobody_saw_is_stored_from_its_second(tmp_path):
    episodes, warnings = recorded(tmp_path, Climb(skips=True), lambda env: climb(env, 9), RecordDmEpisodes)
    assert [episode.steps["observation"][:, 0].tolist() for episode in episodes] == [[0, 1, 2, 3], [1, 2, 3], [1, 2, 3]]
    assert ["without its first step" in line for line in warnings] == [True]


def test_a_sequence_that_begins_after_a_last_step_is_the_next_episode(tmp_path):
    episodes, warnings = recorded(tmp_path, Climb(), lambda env: climb(env, 12), RecordDmEpisodes)
    assert [episode.length for episode in episodes] == [3] * 3
    assert warnings == []


def climb(env, count):
    env.reset()
    for _ in range(count):
        env.step(0)
