"""An environment that fails, and is played on: what comes after is not mixed into what was before."""

from __future__ import annotations

import dm_env
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from pipeline.live.dm import RecordDmEpisodes
from pipeline.live.recording import FAILED_INSIDE
from pipeline.live.single import RecordEpisodes
from pipeline.live.vector import RecordVectorEpisodes
from tests.pipeline.live.odd import LENGTH, Odd, recorded


class Failing(Odd):
    """Fails once: in step 2 of its second episode, or in the reset after step 2; either has moved on by then."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at, self.failed = at, False

    def reset(self, *, seed=None, options=None):
        if self.at == "reset" and self.steps == 2 and not self.failed:
            self.failed, self.steps = True, 0
            raise RuntimeError("the simulator hung")
        return super().reset(seed=seed)

    def step(self, action):
        if self.at == "step" and (self.episode, self.steps) == (1, 1) and not self.failed:
            self.failed, self.steps = True, self.steps + 1
            raise RuntimeError("the simulator hung")
        return super().step(action)


class FailingDm(dm_env.Environment):
    """The same for dm_env."""

    def __init__(self, at: str) -> None:
        self.env = Failing(at)

    def reset(self):
        return dm_env.restart(self.env.reset()[0])

    def step(self, action):
        observation, reward, terminated, *_ = self.env.step(action)
        return dm_env.termination(reward, observation) if terminated else dm_env.transition(reward, observation)

    def observation_spec(self):
        return specs.Array((2,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


def one(env, at):
    """Three episodes, the second of which fails and is played on without another reset."""

    def until_the_end(steps=LENGTH):
        for _ in range(steps):
            try:
                answer = env.step(action)
            except RuntimeError:
                continue
            ended = answer.last() if isinstance(answer, dm_env.TimeStep) else np.any(answer[2])
            if ended:
                return

    action = np.zeros(env.num_envs, int) if isinstance(env, RecordVectorEpisodes) else 0
    env.reset()
    until_the_end()
    env.reset()
    if at == "reset":
        until_the_end(2)
        with pytest.raises(RuntimeError):
            env.reset()
    until_the_end()
    env.reset()
    until_the_end()


@pytest.mark.parametrize("at", ["step", "reset"])
@pytest.mark.parametrize("door", ["single", "vector", "dm_env"])
def test_an_episode_in_which_the_environment_fails_is_cut_off_there_and_told(tmp_path, door, at):
    env = {
        "single": lambda: Failing(at),
        "vector": lambda: SyncVectorEnv([lambda: Failing(at)], autoreset_mode=AutoresetMode.DISABLED),
        "dm_env": lambda: FailingDm(at),
    }[door]()
    wrap = {"single": RecordEpisodes, "vector": RecordVectorEpisodes, "dm_env": RecordDmEpisodes}[door]
    episodes, warnings = recorded(tmp_path, env, lambda env: one(env, at), wrap)
    assert [episode.steps["observation"].tolist() for episode in episodes] == [
        [[e, s] for s in range(LENGTH + 1)] for e in (0, 2)
    ]
    assert warnings == [FAILED_INSIDE]


def test_a_picture_whose_axes_lie_in_another_order_keeps_them(tmp_path):
    picture = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    env = Odd(spaces.Box(0, 255, (3, 4, 2), np.uint8), observation=lambda e, s: picture)
    episodes, _ = recorded(tmp_path, env)
    assert np.array_equal(episodes[0].steps["observation"][0], picture)


@pytest.mark.parametrize(("seed", "known"), [(3, 3), (np.int64(3), 3), (1.5, -1), (2**70, -1), ("4", -1), (None, -1)])
def test_a_seed_that_is_no_whole_number_is_unknown(tmp_path, seed, known):
    def loop(env):
        env.reset(seed=seed)
        for _ in range(LENGTH):
            env.step(0)

    class Any(Odd):
        def reset(self, *, seed=None, options=None):
            return super().reset()

    assert [episode.seed for episode in recorded(tmp_path, Any(), loop)[0]] == [known]


class Several(VectorEnv):
    """Two environments whose steps give `what` at `place` from the sixth step on; four steps make an episode."""

    num_envs, metadata = 2, {"autoreset_mode": AutoresetMode.NEXT_STEP}
    single_observation_space, single_action_space = spaces.Box(-9, 9, (3,)), spaces.Discrete(2)
    observation_space, action_space = spaces.Box(-9, 9, (2, 3)), spaces.MultiDiscrete([2, 2])

    def __init__(self, place: int, what: object) -> None:
        self.place, self.what, self.steps = place, what, 0

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 3), np.float32), {}

    def step(self, actions):
        self.steps += 1
        last = np.full(2, self.steps % 5 == 4)
        answer = [np.full((2, 3), self.steps, np.float32), np.ones(2), last, np.zeros(2, bool), {}]
        if self.steps > 5:
            answer[self.place] = self.what
        return tuple(answer)


def ten_steps(env):
    env.reset()
    for _ in range(10):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize(
    ("place", "what", "kept"),
    [
        pytest.param(0, np.zeros((3, 2), np.float32), 2, id="axes of the batch the other way round"),
        pytest.param(0, np.zeros((1, 3), np.float32), 2, id="one observation for two"),
        pytest.param(1, np.ones(3), 2, id="three rewards for two"),
        pytest.param(1, 1.0, 2, id="one reward for two"),
        pytest.param(2, None, 2, id="no flags"),
        pytest.param(4, [None, None], 4, id="infos that are None"),
    ],
)
def test_a_batch_of_another_size_is_not_shared_out(tmp_path, place, what, kept):
    episodes, warnings = recorded(tmp_path, Several(place, what), ten_steps, RecordVectorEpisodes)
    assert [episode.steps["observation"].shape for episode in episodes] == [(5, 3)] * kept
    assert bool(warnings) == (kept == 2)
