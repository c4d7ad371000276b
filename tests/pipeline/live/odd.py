"""An environment that hands out anything at all, and short ways to record it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.live.log import EpisodeLog
from pipeline.live.single import RecordEpisodes

LENGTH = 3
"""Steps of each episode."""


class Odd(gym.Env):
    """The observation is [episode, step]. What is given here is asked for what it hands out: `observation=f` says
    f(episode, step), `reward`, `info` and `told` (the info of the reset) likewise.
    """

    def __init__(self, space: spaces.Space | None = None, actions: spaces.Space | None = None, **handed_out: Callable):
        self.observation_space = space or spaces.Box(-1e9, 1e9, (2,), np.float32)
        self.action_space = actions or spaces.Discrete(2)
        self.episode, self.steps, self._handed_out = -1, 0, handed_out

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return self._say("observation", np.float32([self.episode, 0])), self._say("told", {})

    def step(self, action):
        self.steps += 1
        observation = self._say("observation", np.float32([self.episode, self.steps]))
        return observation, self._say("reward", 1.0), self.steps == LENGTH, False, self._say("info", {})

    def _say(self, name: str, else_: Any) -> Any:
        return self._handed_out[name](self.episode, self.steps) if name in self._handed_out else else_


def play(env: Any, episodes: int = 3, action: Any = 0) -> None:
    """A loop that resets."""
    for _ in range(episodes):
        env.reset()
        while not any(env.step(action)[2:4]):
            pass


def recorded(
    root: Any, env: Any, loop: Callable[[Any], None] = play, wrap: Callable = RecordEpisodes
) -> tuple[list[Episode], list[str]]:
    """The episodes as they come back from disk, and the warnings of the manifest."""
    with EpisodeLog(root, domain="gym", task="odd", dataset="d-v1", storage="bin") as log:
        loop(wrap(env, log))
    artifact = Workspace(str(root), "bin").dataset("gym", "odd", "d-v1")
    return list(EpisodeDataset.of(artifact)), artifact.manifest.warnings
