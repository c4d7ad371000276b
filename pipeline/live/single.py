"""Episodes of a Gymnasium environment, recorded while something else steps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from jaxtyping import Shaped

from pipeline.envs.gym.infos import FINAL_INFO, NO_INFO, SUCCESS, final_observation
from pipeline.envs.gym.resets import count_resets, stop_counting
from pipeline.errors import InvalidInput
from pipeline.exact import one_number
from pipeline.live.copies import ActionCopies
from pipeline.live.layout import OneArray, layout_copy, layout_dtypes, layout_of_space
from pipeline.live.log import EpisodeLog
from pipeline.live.recording import Recording, asked, attempt, info_of_step, known_seed
from pipeline.observation import UNCHANGING

NOT_PLAIN = NO_INFO.union(SUCCESS)
"""Keys of infos that are looked at at once."""


class RecordEpisodes(gym.Wrapper):
    """Hands each finished episode of `env` to `log`, and changes nothing that goes in or out.

    It stores what `env` itself returns: wrap close to the simulator for raw rewards and pixels, outside other wrappers
    for what an agent sees. Observations have the dtypes and shapes of their space where that loses nothing, else their
    own (`observation/<key>` of a Dict, `observation/0`, ... of a Tuple); the text `mission` of a Dict is the episode's
    mission. Actions are in the dtype of the action space; those of a Dict or Tuple become one flat array, as in
    `domain=gym`. The seed is that of `reset(seed=...)`, -1 for a reset without one. Success is what the info
    `is_success` or `success` gave at any step. Infos of steps and of the reset are kept.

    An environment that resets itself inside of `step` is noticed: the next episode begins there. Its last observation
    is that in the info `final_obs` (or `final_observation`, `terminal_observation`), else it is lost and marked so.

    A fault in recording loses that episode, with a warning in the manifest; the loop goes on.
    Several environments of one process may share a log.

    Raises:
        InvalidInput: `env` is of another kind, a space cannot be stored, or the log is closed.
    """

    def __init__(self, env: gym.Env, log: EpisodeLog) -> None:
        _require_single(env)
        super().__init__(env)
        layout = layout_of_space(env.observation_space)
        self._copy, self._actions = layout_copy(layout), ActionCopies(env.action_space)
        self._shape = layout.shape if isinstance(layout, OneArray) else None
        self._rows: list[tuple[Any, ...]] = []  # plain steps: action, observation, reward, info
        self._log, self._recording = log, Recording(log, layout_dtypes(layout), self._catch_up)
        self._guarded = (self._recording,)
        self._resets = count_resets(env)
        if self._actions.layout:
            log.note(self._actions.note)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if self._log.stopped:
            return self.env.reset(seed=seed, options=options)
        self._log.require_open()
        answer = asked(self._guarded, self.env.reset, seed=seed, options=options)
        attempt(self._guarded, self._begin, answer, seed)
        return answer

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        if self._log.stopped:
            return self.env.step(action)
        # `attempt` and `asked` once more, written out: their calls would be a tenth of what a step takes
        recording, applied, resets = self._recording, None, self._resets.count
        if recording.under_way:
            try:
                applied = self._actions.one(action)
            except Exception as error:
                recording.lose(error)
        try:
            answer = self.env.step(action)
        except BaseException:
            recording.break_off()
            raise
        try:
            if applied is None or self._resets.count > resets or not self._is_plain(*answer):
                self._catch_up()
                self._add(applied, answer, self._resets.count > resets)
            else:
                observation, reward, _, _, info = answer
                self._rows.append((applied, observation.copy(), reward, info.copy()))
        except Exception as error:
            recording.lose(error)
        return answer

    def close(self) -> None:
        self._recording.stop()
        stop_counting(self.env, self._resets)
        super().close()

    def _begin(self, answer: Any, seed: int | None) -> None:
        observation, info = answer
        self._recording.begin(self._copy(observation), known_seed(seed), info_of_step(self._log, info))

    def _is_plain(self, observation: Any, reward: Any, terminated: Any, truncated: Any, info: Any) -> bool:
        """Whether a step is kept as a row at first: nothing ended, all is of the usual types, infos have no arrays."""
        return (
            not (terminated or truncated)
            and type(observation) is np.ndarray
            and observation.shape == self._shape
            and (type(reward) is float or type(reward) is np.float64)
            and type(info) is dict
            and (not info or (NOT_PLAIN.isdisjoint(info) and UNCHANGING.issuperset(map(type, info.values()))))
        )

    def _catch_up(self) -> None:
        """Hand the rows over to the recording."""
        rows, self._rows = self._rows, []
        if rows:
            self._recording.extend(*zip(*rows, strict=True))

    def _add(self, applied: Shaped[np.ndarray, "..."] | None, answer: Any, was_reset: bool) -> None:
        observation, reward, terminated, truncated, info = answer
        recording, ended = self._recording, bool(terminated or truncated)
        if not recording.under_way and not was_reset:
            recording.stray()
            return
        seen, kept = self._copy(observation), info_of_step(self._log, info)
        if applied is None or not recording.under_way:
            recording.begin(seen, info={} if ended else kept)
            return
        step = one_number(reward, "reward"), bool(terminated), bool(truncated)
        last = final_observation(info) if ended else None
        if last is None and not was_reset:
            recording.add(applied, seen, *step, info=kept)
            return
        own = info_of_step(self._log, info[FINAL_INFO]) if isinstance(info, Mapping) and FINAL_INFO in info else None
        if last is None:
            attempt(self._guarded, recording.add_lost, applied, seen, *step, kept if own is None else own)
        else:
            attempt(self._guarded, self._add_last, applied, last, *step, kept if own is None else own)
        recording.begin(seen, info={} if own is None else kept)

    def _add_last(
        self, applied: Any, last: Any, reward: float, terminated: bool, truncated: bool, info: Mapping[Any, Any]
    ) -> None:
        self._recording.add(applied, self._copy(last), reward, terminated, truncated, info=info)


def _require_single(env: Any) -> None:
    if isinstance(env, VectorEnv):
        raise InvalidInput(f"{env} holds several environments: record them with RecordVectorEpisodes.")
    if not isinstance(env, gym.Env):
        raise InvalidInput(
            f"RecordEpisodes takes a gymnasium.Env; this is {type(env).__name__}. Of a VecEnv of Stable-Baselines3, "
            "wrap each environment inside: DummyVecEnv([lambda: RecordEpisodes(env, log)])"
        )
