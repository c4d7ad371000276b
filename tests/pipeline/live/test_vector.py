"""Vector environments in every reset mode, against one plain environment each."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.live.log import EpisodeLog
from pipeline.live.vector import RecordVectorEpisodes
from tests.pipeline.live.plain import NEXT_STEP, SAME_STEP, Reused, assert_same, in_order, play

COUNT, STEPS, SEED = 3, 60, 11
ORDERS = {AutoresetMode.NEXT_STEP: NEXT_STEP, AutoresetMode.SAME_STEP: SAME_STEP}

WALKS = {AutoresetMode.NEXT_STEP: Reused, AutoresetMode.SAME_STEP: partial(Reused, reuse=False)}
"""In same-step mode Gymnasium itself resets before it hands out the last observation, so a reused array is gone."""


def opened(root, **settings):
    return EpisodeLog(root, **({"domain": "gym", "task": "walk", "dataset": "random-v1"} | settings))


def stored(root):
    return list(EpisodeDataset.of(Workspace(str(root)).dataset("gym", "walk", "random-v1")))


def make_cartpole():
    return gym.make("CartPole-v1", max_episode_steps=25)


def actions_of(make, count=COUNT, steps=STEPS):
    """(steps, count, ...) actions."""
    space = make().action_space
    space.seed(2)
    return np.stack([np.stack([space.sample() for _ in range(count)]) for _ in range(steps)])


def plain_episodes(make, actions, mode, seeds):
    plays = [play(make(), seed, actions[:, i], mode)[0] for i, seed in enumerate(seeds)]
    return in_order(plays)


def assert_all_same(episodes, wanted):
    assert len(episodes) == len(wanted) > 3
    for episode, plain in zip(episodes, wanted, strict=True):
        assert_same(episode, plain)


@pytest.mark.parametrize("makes", [dict.fromkeys(ORDERS, make_cartpole), WALKS], ids=["cartpole", "walk"])
@pytest.mark.parametrize("mode", ORDERS)
def test_each_environment_gives_the_episodes_that_it_would_give_alone(tmp_path, makes, mode):
    make = makes[mode]
    actions = actions_of(make)
    with opened(tmp_path) as log:
        envs = RecordVectorEpisodes(SyncVectorEnv([make] * COUNT, copy=False, autoreset_mode=mode), log)
        envs.reset(seed=SEED)
        for batch in actions:
            envs.step(batch)
    assert_all_same(stored(tmp_path), plain_episodes(make, actions, ORDERS[mode], range(SEED, SEED + COUNT)))


@pytest.mark.parametrize("mode", ORDERS)
def test_environments_in_processes_and_one_shared_memory(tmp_path, mode):
    make = WALKS[mode]
    actions = actions_of(make, 2)
    with opened(tmp_path) as log:
        envs = RecordVectorEpisodes(AsyncVectorEnv([make] * 2, copy=False, autoreset_mode=mode), log)
        envs.reset(seed=[4, 9])
        for batch in actions:
            envs.step(batch)
        envs.close()
    assert_all_same(stored(tmp_path), plain_episodes(make, actions, ORDERS[mode], [4, 9]))


@pytest.mark.parametrize("rows", [4, 30])
def test_steps_that_are_handed_over_before_their_episode_ends_are_the_same(tmp_path, monkeypatch, rows):
    monkeypatch.setattr("pipeline.live.rows.MOST_ROWS", rows)
    actions = actions_of(make_cartpole)
    with opened(tmp_path, unfinished="keep") as log:
        envs = RecordVectorEpisodes(SyncVectorEnv([make_cartpole] * COUNT), log)
        envs.reset(seed=SEED)
        for batch in actions:
            envs.step(batch)
    whole = [episode for episode in stored(tmp_path) if episode.end_reason != "budget"]
    assert_all_same(whole, plain_episodes(make_cartpole, actions, NEXT_STEP, range(SEED, SEED + COUNT)))
    assert len(stored(tmp_path)) > len(whole)


def test_the_caller_resets_some_environments(tmp_path):
    actions = actions_of(Reused)
    with opened(tmp_path) as log:
        envs = RecordVectorEpisodes(SyncVectorEnv([Reused] * COUNT, autoreset_mode=AutoresetMode.DISABLED), log)
        envs.reset(seed=SEED)
        for batch in actions:
            _, _, terminated, truncated, _ = envs.step(batch)
            if (ended := terminated | truncated).any():
                envs.reset(options={"reset_mask": ended})
    assert_all_same(stored(tmp_path), plain_episodes(Reused, actions, SAME_STEP, range(SEED, SEED + COUNT)))


def test_a_partial_reset_in_the_middle_cuts_one_episode_off_and_knows_its_new_seed(tmp_path):
    right = np.full((COUNT, 2), [9, 0], np.float32)  # an episode ends after three
    with opened(tmp_path, unfinished="keep") as log:
        envs = RecordVectorEpisodes(SyncVectorEnv([Reused] * COUNT, autoreset_mode=AutoresetMode.DISABLED), log)
        envs.reset(seed=[0, 1, 2])
        envs.step(right)
        envs.reset(seed=[None, 7, None], options={"reset_mask": np.array([False, True, False])})
        envs.step(right)
        envs.step(right)
    found = [(episode.seed, episode.length, episode.end_reason) for episode in stored(tmp_path)]
    assert found == [(1, 1, "budget"), (0, 3, "terminated"), (2, 3, "terminated"), (7, 2, "budget")]


@pytest.mark.parametrize("mode", ORDERS)
@pytest.mark.parametrize("wrap", [RecordEpisodeStatistics, lambda env: DictInfoToList(RecordEpisodeStatistics(env))])
def test_infos_are_those_of_each_environment_alone(tmp_path, mode, wrap):
    make = WALKS[mode]
    actions = actions_of(make)
    with opened(tmp_path) as log:
        envs = RecordVectorEpisodes(wrap(SyncVectorEnv([make] * COUNT, autoreset_mode=mode)), log)
        envs.reset(seed=SEED)
        for batch in actions:
            envs.step(batch)
    wanted = plain_episodes(make, actions, ORDERS[mode], range(SEED, SEED + COUNT))
    episodes = stored(tmp_path)
    assert_all_same(episodes, wanted)
    for episode, plain in zip(episodes, wanted, strict=True):
        np.testing.assert_array_equal(episode.steps["info/trail"][:-1], [info["trail"] for info in plain.infos])
        np.testing.assert_array_equal(episode.steps["info/body/speed"][:-1], [i["body"]["speed"] for i in plain.infos])
        assert episode.steps["info/even"][:-1].tolist() == [info.get("even", 0) for info in plain.infos]
        assert episode.success == plain.infos[-1]["is_success"]
        assert "info/from_reset" not in episode.steps
        assert episode.reset_info["from_reset"] == 1
        if mode == AutoresetMode.NEXT_STEP:
            assert episode.steps["info/episode/l"][-2] == episode.length


def test_a_cartpole_whose_physics_are_one_batch(tmp_path):
    envs = gym.make_vec("CartPole-v1", num_envs=8)
    seen, rewards = [], []
    actions = np.random.default_rng(0).integers(0, 2, (STEPS, 8))
    with opened(tmp_path) as log:
        recorder = RecordVectorEpisodes(envs, log)
        seen.append(recorder.reset(seed=3)[0])
        for batch in actions:
            observation, reward, *_ = recorder.step(batch)
            seen.append(observation)
            rewards.append(reward)
    episodes = stored(tmp_path)
    first = next(each for each in episodes if np.array_equal(each.steps["observation"][0], seen[0][0]))
    np.testing.assert_array_equal(first.steps["observation"], np.stack(seen)[: first.rows, 0])
    np.testing.assert_array_equal(first.steps["action"][:-1], actions[: first.length, 0])
    assert {episode.seed for episode in episodes} == {-1}  # one number seeds all of its environments together
    steps = sum(episode.length for episode in episodes)
    assert steps == sum(episode.total_reward for episode in episodes) <= np.sum(rewards)


def test_the_reset_mode_must_be_known(tmp_path):
    envs = SyncVectorEnv([Reused])
    with opened(tmp_path) as log:
        with pytest.raises(InvalidInput, match="was given"):
            RecordVectorEpisodes(envs, log, AutoresetMode.DISABLED)
        del envs.metadata["autoreset_mode"]
        with pytest.raises(InvalidInput, match="does not say how it resets"):
            RecordVectorEpisodes(envs, log)
        RecordVectorEpisodes(envs, log, AutoresetMode.NEXT_STEP)


def test_a_same_step_environment_without_last_observations_has_lost_them(tmp_path):
    class Forgetful(gym.vector.VectorWrapper):
        def step(self, actions):
            *rest, infos = super().step(actions)
            return *rest, {key: value for key, value in infos.items() if "final_obs" not in key}

    with opened(tmp_path) as log:
        recorder = RecordVectorEpisodes(Forgetful(SyncVectorEnv([Reused], autoreset_mode=AutoresetMode.SAME_STEP)), log)
        recorder.reset(seed=0)
        for _ in range(7):
            recorder.step(np.float32([[9, 0]]))
    episodes = stored(tmp_path)
    assert [(episode.length, episode.end_reason) for episode in episodes] == [(3, "terminated")] * 2
    assert not any(episode.has_final_observation for episode in episodes)
    for episode in episodes:
        np.testing.assert_array_equal(episode.steps["observation/place"][:, 0], [0, 1, 2, 0])
