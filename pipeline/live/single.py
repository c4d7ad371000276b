"""Episodes of a Gymnasium environment, recorded while something else steps it."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput
from pipeline.live.batches import ONE_ARRAY
from pipeline.live.copies import action_copy
from pipeline.live.log import EpisodeLog
from pipeline.live.recording import Recording
from pipeline.observation import info_copy, observation_copy


class RecordEpisodes(gym.Wrapper):
    """Hands each finished episode of `env` to `log`, and changes nothing that goes in or out.

    It stores what `env` itself returns: wrap close to the simulator for raw rewards and pixels, outside other wrappers
    for what an agent sees. Observations keep their dtypes (`observation/<key>` of a Dict, `observation/0`, ... of a
    Tuple); the text `mission` of a Dict is the episode's mission. Actions are in the dtype of the action space. The
    seed is that of `reset(seed=...)`, -1 for a reset without one. Success is what the info `is_success` or `success`
    gave at any step. Infos of steps are kept, that of the reset is not.

    Several environments of one process may share a log.

    Raises:
        InvalidInput: an action is not one array (flatten Tuple and Dict actions first), or the log is closed.
    """

    def __init__(self, env: gym.Env, log: EpisodeLog) -> None:
        super().__init__(env)
        self._action_dtype = action_dtype(env.action_space)
        self._recording = Recording(log)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._recording.begin(observation_copy(observation), UNKNOWN if seed is None else int(seed))
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        applied = action_copy(action, self._action_dtype)
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._recording.add(
            applied,
            observation_copy(observation),
            float(reward),
            bool(terminated),
            bool(truncated),
            info=info_copy(info) if info else None,
        )
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        self._recording.stop()
        super().close()


def action_dtype(space: gym.Space) -> np.dtype:
    """The dtype of an action that is one array. Raises InvalidInput for Tuple, Dict and other spaces."""
    if not isinstance(space, ONE_ARRAY):
        raise InvalidInput(f"An action must be one array; flatten it first. The action space is {space}.")
    return np.dtype(space.dtype)
