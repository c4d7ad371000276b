"""Episodes of a dm_env environment, recorded while something else steps it."""

from __future__ import annotations

from typing import Any

import dm_env  # type: ignore[import-untyped]  # dm_env has no types
import numpy as np
from dm_env import specs

from pipeline.errors import InvalidInput
from pipeline.live.copies import action_copy
from pipeline.live.log import EpisodeLog
from pipeline.live.recording import Recording
from pipeline.observation import observation_copy


class RecordDmEpisodes(dm_env.Environment):  # type: ignore[misc]  # dm_env has no types
    """Hands each finished episode of `environment` to `log`, and changes nothing that goes in or out.

    An episode whose last time step has discount 0 is terminated; with any other discount it is truncated. The action of
    a step that begins a sequence (the first one, or one after a last time step) is ignored, here as by the environment.
    Lists and tuples of observations become `observation/0`, ..., mappings `observation/<key>`. dm_env has neither seeds
    nor infos. All other attributes are looked up on `environment`.

    Raises:
        InvalidInput: actions, rewards or discounts are not one array, or not one number, or the log is closed.
    """

    def __init__(self, environment: dm_env.Environment, log: EpisodeLog) -> None:
        self._environment = environment
        spec = environment.action_spec()
        if not isinstance(spec, specs.Array):
            raise InvalidInput(f"An action must be one array; flatten it first. The action spec is {spec}.")
        for name, number in (("reward", environment.reward_spec()), ("discount", environment.discount_spec())):
            if not isinstance(number, specs.Array) or number.shape != ():
                raise InvalidInput(f"A {name} must be one number to be logged. The {name} spec is {number}.")
        self._action_dtype = np.dtype(spec.dtype)
        self._recording = Recording(log)

    def reset(self) -> dm_env.TimeStep:
        timestep = self._environment.reset()
        self._recording.begin(observation_copy(timestep.observation))
        return timestep

    def step(self, action: Any) -> dm_env.TimeStep:
        applied = action_copy(action, self._action_dtype)
        timestep = self._environment.step(action)
        seen = observation_copy(timestep.observation)
        if timestep.first():
            self._recording.begin(seen)
            return timestep
        terminated = timestep.last() and timestep.discount == 0
        self._recording.add(
            applied,
            seen,
            float(timestep.reward),
            terminated=bool(terminated),
            truncated=bool(timestep.last() and not terminated),
            discount=float(timestep.discount),
        )
        return timestep

    def observation_spec(self) -> Any:
        return self._environment.observation_spec()

    def action_spec(self) -> Any:
        return self._environment.action_spec()

    def reward_spec(self) -> Any:
        return self._environment.reward_spec()

    def discount_spec(self) -> Any:
        return self._environment.discount_spec()

    def close(self) -> None:
        self._recording.stop()
        self._environment.close()

    def __getattr__(self, name: str) -> Any:
        if name == "_environment":  # copying and unpickling look attributes up before `__init__` has run
            raise AttributeError(name)
        return getattr(self._environment, name)
