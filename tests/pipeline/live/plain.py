"""A plain recorder that shares nothing with ours: one environment, lists, no wrapper, no vectors."""

from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np

NEXT_STEP, SAME_STEP = "NextStep", "SameStep"


@dataclass
class Plain:
    """An episode as lists; `ended` is the index of the action that ended it."""

    observations: list
    seed: int = -1
    actions: list = field(default_factory=list)
    rewards: list = field(default_factory=list)
    infos: list = field(default_factory=list)
    terminated: bool = False
    truncated: bool = False
    ended: int = -1


def play(env: gym.Env, seed: int | None, actions, mode: str = SAME_STEP) -> tuple[list[Plain], Plain]:
    """The finished episodes of a list of actions, and the one under way.

    In next-step mode the action after an end is ignored.
    """
    episodes, episode, fresh = [], Plain([_kept(env.reset(seed=seed)[0])], -1 if seed is None else seed), True
    for number, action in enumerate(actions):
        if not fresh:
            episode, fresh = Plain([_kept(env.reset()[0])]), True
            if mode == NEXT_STEP:
                continue
        observation, reward, episode.terminated, episode.truncated, info = env.step(action)
        episode.observations.append(_kept(observation))
        episode.actions.append(np.copy(action))
        episode.rewards.append(float(reward))
        episode.infos.append(_kept(info))
        if episode.terminated or episode.truncated:
            episode.ended = number
            episodes.append(episode)
            fresh = False
    return episodes, episode if fresh else Plain([])


def in_order(plays: list[list[Plain]]) -> list[Plain]:
    """Episodes of several environments as a vector environment ends them."""
    numbered = [(episode.ended, index, episode) for index, episodes in enumerate(plays) for episode in episodes]
    return [episode for *_, episode in sorted(numbered, key=lambda each: each[:2])]


def assert_same(recorded, plain: Plain) -> None:
    """Every number of a recorded episode is that of the plain one."""
    assert recorded.length == len(plain.actions)
    assert (recorded.seed, recorded.terminated, recorded.truncated) == (plain.seed, plain.terminated, plain.truncated)
    np.testing.assert_array_equal(recorded.steps["action"][:-1], plain.actions)
    np.testing.assert_array_equal(recorded.steps["reward"][:-1], plain.rewards)
    want_discounts = [1.0] * len(plain.actions)
    want_discounts[-1] = 0.0 if plain.terminated else 1.0
    np.testing.assert_array_equal(recorded.steps["discount"][:-1], want_discounts)
    for name, value in _leaves("observation", plain.observations[0]).items():
        wanted = np.stack([_leaves("observation", each)[name] for each in plain.observations])
        np.testing.assert_array_equal(recorded.steps[name], wanted)
        assert recorded.steps[name].dtype == np.asarray(value).dtype


def _leaves(name, value):
    if isinstance(value, dict):
        return {n: leaf for key, inner in value.items() for n, leaf in _leaves(f"{name}/{key}", inner).items()}
    if isinstance(value, tuple):
        return _leaves(name, {str(index): inner for index, inner in enumerate(value)})
    return {name: np.asarray(value)}


def _kept(value):
    if isinstance(value, dict):
        return {key: _kept(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_kept(inner) for inner in value)
    return np.copy(value) if isinstance(value, np.ndarray) else value


class Reused(gym.Env):
    """A walk along a line that writes every observation and info array into the same memory, unless told not to.

    Dict observation: `place` (2,) float32, `parts` Tuple of a Discrete and a (4, 4, 3) uint8 picture. It terminates at
    +3 and -3 (a success at +3), and is truncated after `limit` steps. Infos: `even` at even steps only, `speed` nested
    under `body`, `trail` an array, `is_success`, and `word`, which is no number.
    """

    def __init__(self, reuse: bool = True, limit: int = 9) -> None:
        self.action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        parts = gym.spaces.Tuple([gym.spaces.Discrete(7), gym.spaces.Box(0, 255, (4, 4, 3), np.uint8)])
        self.observation_space = gym.spaces.Dict({"place": gym.spaces.Box(-9, 9, (2,), np.float32), "parts": parts})
        self._reuse, self._limit = reuse, limit
        self._place, self._picture = np.zeros(2, np.float32), np.zeros((4, 4, 3), np.uint8)
        self._trail = np.zeros(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps = self._at = 0
        return self._seen(), {"from_reset": 1}

    def step(self, action):
        self._steps += 1
        self._at += 1 if action[0] + self.np_random.normal() > 0 else -1
        self._trail[self._steps % 3] = self._at
        info = {"body": {"speed": float(action[1])}, "trail": self._trail, "is_success": self._at == 3, "word": "ab"}
        if not self._reuse:
            info["trail"] = self._trail.copy()
        if self._steps % 2 == 0:
            info["even"] = self._steps
        terminated = abs(self._at) == 3
        return self._seen(), 0.1 * self._at, terminated, not terminated and self._steps == self._limit, info

    def _seen(self):
        self._place[:] = self._at, self._steps
        self._picture[:] = 10 * self._steps + self._at
        seen = {"place": self._place, "parts": (np.int64(self._at + 3), self._picture)}
        return seen if self._reuse else _kept(seen)
