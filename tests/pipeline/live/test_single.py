"""A Gymnasium environment that is stepped by other people's loops: what is stored is what they saw."""

import logging

import gymnasium as gym
import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.live.facts import environment_facts
from pipeline.live.log import EpisodeLog
from pipeline.live.single import RecordEpisodes
from pipeline.wording import how_many
from tests.pipeline.live.plain import Reused, assert_same, play


def opened(root, **settings):
    return EpisodeLog(root, **({"domain": "gym", "task": "walk", "dataset": "random-v1"} | settings))


def loop(env, seed, actions):
    """A user's loop: step, and reset when it is over."""
    env.reset(seed=seed)
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()


def recorded(root, env, seed, actions, **settings):
    with opened(root, **settings) as log:
        loop(RecordEpisodes(env, log), seed, actions)
    return list(EpisodeDataset.of(stored(root)))


def stored(root):
    return Workspace(str(root)).dataset("gym", "walk", "random-v1")


def seeded_actions(env, count):
    env.action_space.seed(1)
    return [env.action_space.sample() for _ in range(count)]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: gym.make("CartPole-v1", max_episode_steps=30), id="vector observation"),
        pytest.param(lambda: gym.make("Blackjack-v1"), id="tuple observation"),
        pytest.param(lambda: gym.make("FrozenLake-v1"), id="number observation"),
        pytest.param(lambda: gym.make("Reacher-v5"), id="mujoco"),
        pytest.param(Reused, id="dict observation in one buffer"),
    ],
)
def test_every_number_is_that_of_a_plain_recording(tmp_path, make):
    actions = seeded_actions(make(), 400)
    wanted, _ = play(make(), 5, actions)
    episodes = recorded(tmp_path, make(), 5, actions)
    assert len(episodes) == len(wanted) > 3
    for episode, plain in zip(episodes, wanted, strict=True):
        assert_same(episode, plain)
    assert [episode.seed for episode in episodes[:2]] == [5, -1]


def test_infos_are_kept_nested_now_and_then_or_always(tmp_path):
    actions = seeded_actions(Reused(), 60)
    plain = play(Reused(), 0, actions)[0][1]
    episode = recorded(tmp_path, Reused(), 0, actions)[1]
    np.testing.assert_array_equal(episode.steps["info/trail"][:-1], [info["trail"] for info in plain.infos])
    np.testing.assert_array_equal(episode.steps["info/body/speed"][:-1], [i["body"]["speed"] for i in plain.infos])
    present = episode.steps["info_present/even"][:-1]
    assert present.tolist() == ["even" in info for info in plain.infos]
    assert episode.steps["info/even"][:-1][present].tolist() == [i["even"] for i in plain.infos if "even" in i]
    assert episode.success == plain.infos[-1]["is_success"]
    assert episode.info_texts == {"word": ["ab"] * episode.length}
    assert episode.reset_info["from_reset"] == 1
    assert stored(tmp_path).manifest.warnings == []


def test_pixels_stay_uint8(tmp_path):
    episode = recorded(tmp_path, Reused(), 0, seeded_actions(Reused(), 20))[0]
    assert episode.steps["observation/parts/1"].dtype == np.uint8
    assert episode.steps["observation/parts/1"].shape == (episode.rows, 4, 4, 3)


def test_actions_are_stored_in_the_dtype_of_their_space(tmp_path):
    with opened(tmp_path) as log:
        env = RecordEpisodes(Reused(), log)
        env.reset(seed=0)
        env.step(np.array([0.5, 0.1]))
        while not any(env.step([0.5, 0.1])[2:4]):
            pass
    assert EpisodeDataset.of(stored(tmp_path))[0].steps["action"].dtype == np.float32


def test_a_cut_off_episode_is_dropped_and_the_log_says_how_much(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    actions = seeded_actions(Reused(), 41)
    wanted, under_way = play(Reused(), 0, actions)
    assert under_way.actions
    assert len(recorded(tmp_path, Reused(), 0, actions)) == len(wanted)
    assert f"dropped {how_many(len(under_way.actions), 'steps')}" in caplog.text


@pytest.mark.parametrize("how", ["log closes", "environment closes", "reset"])
def test_a_cut_off_episode_is_kept_where_that_is_asked(tmp_path, how):
    with opened(tmp_path, unfinished="keep") as log:
        env = RecordEpisodes(Reused(), log)
        env.reset(seed=3)
        env.step(np.float32([0.5, 0]))
        env.step(np.float32([0.5, 0]))
        if how == "environment closes":
            env.close()
        if how == "reset":
            env.reset(seed=4)
    (episode,) = EpisodeDataset.of(stored(tmp_path))
    assert (episode.length, episode.end_reason, episode.truncated, episode.seed) == (2, "budget", True, 3)


def test_steps_after_an_end_belong_to_no_episode(tmp_path):
    right = [np.float32([9, 0])] * 5  # it ends after three
    with opened(tmp_path) as log:
        env = RecordEpisodes(Reused(), log)
        env.reset(seed=0)
        for action in right:
            env.step(action)
    (episode,) = EpisodeDataset.of(stored(tmp_path))
    assert_same(episode, play(Reused(), 0, right[:3])[0][0])


def test_an_episode_with_nan_is_left_out_with_a_warning_in_the_manifest(tmp_path):
    class Nan(gym.RewardWrapper):
        def reward(self, reward):
            return np.nan if self.env.get_wrapper_attr("_steps") == 2 and self.bad else reward

    env = Nan(Reused())
    with opened(tmp_path) as log:
        for env.bad in (False, True, False):
            loop(RecordEpisodes(env, log), 0, [np.float32([1, 0])] * 9)
    artifact = stored(tmp_path)
    assert any("left out: reward holds NaN" in line for line in artifact.manifest.warnings)
    assert all(np.isfinite(episode.steps["reward"]).all() for episode in EpisodeDataset.of(artifact))


def test_a_text_named_mission_is_the_mission(tmp_path):
    class Told(gym.ObservationWrapper):
        def observation(self, observation):
            return observation | {"mission": "go right"}

    (episode, *_) = recorded(tmp_path, Told(Reused()), 0, seeded_actions(Reused(), 30))
    assert episode.mission == "go right"
    assert not any("mission" in name for name in episode.steps)


def test_a_closed_log_refuses_a_new_episode(tmp_path):
    log = opened(tmp_path)
    env = RecordEpisodes(Reused(), log)
    log.close()
    with pytest.raises(InvalidInput, match="is closed"):
        env.reset()


def test_what_an_agent_trains_on_is_unchanged_and_all_of_it_is_stored(tmp_path):
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.monitor import Monitor

    torch.set_num_threads(1)

    def trained(env):
        env = Monitor(env)
        PPO("MlpPolicy", env, n_steps=128, batch_size=64, n_epochs=1, seed=3, device="cpu").learn(384)
        return env.get_episode_rewards()

    with opened(tmp_path, facts=environment_facts(gym.make("CartPole-v1"))) as log:
        returns = trained(RecordEpisodes(gym.make("CartPole-v1"), log))
    assert returns == trained(gym.make("CartPole-v1"))
    dataset = EpisodeDataset.of(stored(tmp_path))
    assert dataset.per_episode("return").tolist() == returns
    assert dataset.per_episode("seed")[0] == 3


def test_several_environments_share_a_log(tmp_path):
    with opened(tmp_path) as log:
        envs = [RecordEpisodes(Reused(), log) for _ in range(3)]
        for seed, env in enumerate(envs):
            env.reset(seed=seed)
        for _ in range(9):  # in turns, as DummyVecEnv of Stable-Baselines3 does
            for env in envs:
                env.step(np.float32([1, 1]))
    wanted = [play(Reused(), seed, [np.float32([1, 1])] * 9)[0][0] for seed in range(3)]
    episodes = sorted(EpisodeDataset.of(stored(tmp_path)), key=lambda episode: episode.seed)
    for episode, plain in zip(episodes, wanted, strict=True):
        assert_same(episode, plain)


def test_facts_name_the_environment_and_the_versions_behind_it():
    facts = environment_facts(gym.make("Reacher-v5", max_episode_steps=7))
    assert facts["id"] == "Reacher-v5"
    assert facts["max_episode_steps"] == 7
    assert set(facts["versions"]) == {"gymnasium", "mujoco"}
    assert environment_facts(Reused())["class"].endswith("plain.Reused")
