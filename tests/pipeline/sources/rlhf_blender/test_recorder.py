"""A run by Stable-Baselines3's own vectorised environment, recorded as RLHF-Blender does, comes in without a jump."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from tests.pipeline.sources.rlhf_blender.test_source import quirks, read
from tests.rlhf_blender_files import RecordedRun, write_run


def recorded_cartpole(episodes: int, limit: int, most: int) -> RecordedRun:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    env = DummyVecEnv([lambda: Monitor(gym.make("CartPole-v1", max_episode_steps=limit))])
    env.seed(3)
    obs, inner, rows = env.reset(), env.envs[0].unwrapped, []
    start, reward, done, info, steps = np.array(inner.state), 0.0, False, {}, 0
    while sum(row["dones"] for row in rows) < episodes:
        action = np.array([len(rows) % 2])
        said = {"value": np.float32(steps), "entropy": np.float32(0.5)}
        rows.append({"obs": obs[0], "actions": action[0], "rewards": reward, "dones": done, "infos": info | said})
        if done:
            inner.state, steps = start, 0
        obs, (reward,), (done,), (info,) = env.step(action)
        steps += 1
        done = bool(done) or steps == most
    env.close()
    return RecordedRun(rows, [])


@pytest.mark.parametrize(("limit", "most", "ends"), [(9, 1000, 1), (500, 6, 0)])
def test_a_real_recording_comes_in(tmp_path: Path, limit: int, most: int, ends: int):
    pytest.importorskip("stable_baselines3")
    write_run(tmp_path, recorded_cartpole(3, limit, most))
    episodes = read(tmp_path)
    length = min(limit, most)
    assert [episode.length for episode in episodes] == [length, length - 1, length - 1]
    for episode in episodes:
        assert (episode.truncated, episode.terminated, episode.has_final_observation) == (True, False, True)
        position, speed = episode.steps["observation"][:, 0], episode.steps["observation"][:, 1]
        np.testing.assert_allclose(np.diff(position), 0.02 * speed[:-1], atol=1e-6)  # CartPole's own equation
        assert episode.steps["reward"].tolist() == [*[1.0] * episode.length, 0.0]
        assert ("info/episode/r" in episode.steps) == bool(ends)
    assert quirks(tmp_path) == {"unread_folders": 1, "late_starts": 2}
