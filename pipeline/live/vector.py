"""Episodes of a Gymnasium vector environment, one recording for each of its environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput
from pipeline.live.batches import cast_like, one_info, split_observations
from pipeline.live.copies import action_copy
from pipeline.live.log import EpisodeLog
from pipeline.live.recording import Recording
from pipeline.live.single import action_dtype
from pipeline.observation import observation_copy

FINAL_OBSERVATION, FINAL_INFO = "final_obs", "final_info"
AUTORESET_MODE, RESET_MASK = "autoreset_mode", "reset_mask"


class RecordVectorEpisodes(VectorWrapper):
    """Hands each finished episode of each environment in `env` to `log`, and changes nothing that goes in or out.

    Episodes come in the order in which they end, those of one step in the order of their environments.
    `env.metadata["autoreset_mode"]` says how `env` resets; give `autoreset_mode` where it says nothing:

    * next step: the step after an end is a reset. It is no transition, and its action is ignored.
    * same step: the last observation and info are `infos["final_obs"]` and `infos["final_info"]`; the observation that
      is returned begins the next episode.
    * disabled: the caller resets, some environments only with `options={"reset_mask": mask}`.

    An info belongs to the environments that its mask `_<key>` marks; without a mask it belongs to all. Environment i
    has the i-th seed of a list given to `reset`, or n + i where a SyncVectorEnv or AsyncVectorEnv is given one number
    n. Other vector environments use a number in their own way, so their seeds are unknown. An unknown seed is -1, also
    after a reset without a seed and after an automatic reset. All else is as in `RecordEpisodes`.

    Raises:
        InvalidInput: the reset mode is not known, an action is not one array, an environment ended in same-step mode
            without `final_obs`, or the log is closed.
    """

    def __init__(self, env: VectorEnv, log: EpisodeLog, autoreset_mode: AutoresetMode | None = None) -> None:
        super().__init__(env)
        self._mode = _mode(env, autoreset_mode)
        self._action_dtype = action_dtype(env.single_action_space)
        self._recordings = [Recording(log) for _ in range(env.num_envs)]
        self._ended = [False] * env.num_envs

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Any]:
        mask = np.array((options or {}).get(RESET_MASK, [True] * self.num_envs))  # copied now: `env` takes it out
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]  # a list is allowed
        seeds, each = self._seeds(seed), self._split(observations)
        for i in np.flatnonzero(mask):
            self._recordings[i].begin(each[i], seeds[i])
            self._ended[i] = False
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Any]:
        applied = action_copy(actions, self._action_dtype)
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        each = self._split(observations)
        gained, terminated, truncated = (np.asarray(column).tolist() for column in (rewards, terminations, truncations))
        for i, recording in enumerate(self._recordings):
            ended = terminated[i] or truncated[i]
            if self._ended[i] and self._mode == AutoresetMode.NEXT_STEP:
                recording.begin(each[i])
            elif ended and self._mode == AutoresetMode.SAME_STEP:
                last, info = self._final(infos, i, each[i])
                recording.add(applied[i, ...], last, gained[i], terminated[i], truncated[i], info=info)
                recording.begin(each[i])
            else:
                info = one_info(infos, i, self.num_envs) if infos else {}
                recording.add(applied[i, ...], each[i], gained[i], terminated[i], truncated[i], info=info)
            self._ended[i] = ended
        return observations, rewards, terminations, truncations, infos

    def close(self, **kwargs: Any) -> None:
        for recording in self._recordings:
            recording.stop()
        super().close(**kwargs)

    def _split(self, observations: Any) -> list[Any]:
        return split_observations(self.single_observation_space, observations, self.num_envs)

    def _final(self, infos: Any, i: int, like: Any) -> tuple[Any, dict[str, Any]]:
        """The last observation and info of an episode, which come in the infos of the step that begins the next one."""
        info = one_info(infos, i, self.num_envs)
        if FINAL_OBSERVATION not in info:
            raise InvalidInput(f"Environment {i} of {self.env} ended, but infos hold no {FINAL_OBSERVATION} of it.")
        return cast_like(observation_copy(info[FINAL_OBSERVATION]), like), info.get(FINAL_INFO, {})

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int]:
        if isinstance(seed, int | np.integer):
            known = isinstance(self.unwrapped, SyncVectorEnv | AsyncVectorEnv)
            return [int(seed) + i if known else UNKNOWN for i in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else seed
        return [UNKNOWN if each is None else int(each) for each in seeds]


def _mode(env: VectorEnv, given: AutoresetMode | None) -> AutoresetMode:
    declared = env.metadata.get(AUTORESET_MODE)
    if given is not None and declared is not None and AutoresetMode(declared) != AutoresetMode(given):
        raise InvalidInput(f"{env} says {AUTORESET_MODE}={declared}, autoreset_mode={given} was given.")
    if (mode := declared or given) is None:
        raise InvalidInput(f"{env} does not say how it resets; say it with autoreset_mode=AutoresetMode.NEXT_STEP.")
    return AutoresetMode(mode)
