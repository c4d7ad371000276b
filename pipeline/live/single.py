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
from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput
from pipeline.exact import one_number, stored_as_is
from pipeline.live.copies import ActionCopies
from pipeline.live.layout import OneArray, layout_copy, layout_dtypes, layout_of_space
from pipeline.live.log import EpisodeLog
from pipeline.live.recording import Recording, asked, attempt, info_of_step, known_seed
from pipeline.observation import UNCHANGING
from pipeline.rollout.uniform import NO_INFOS, UniformSteps

LOOKED_AT = NO_INFO.union(SUCCESS)
"""Keys of infos that are looked at at once."""

TEXT = frozenset([str])

NOT_ENDED = (False, False)
"""A step neither terminated nor truncated its episode."""


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
        self._shape = layout.shape if isinstance(layout, OneArray) and stored_as_is(self._actions.row.dtype) else None
        self._steps: UniformSteps | None = None  # steps of the usual kind; None where this episode can have none
        self._infos: tuple[list[str], list[type]] = [], []  # keys and types of the infos of such steps
        self._changed_in: UniformSteps | None = None  # the steps among which one was not usual
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
        # Checks, `attempt` and `asked` are written out here: calls, and an array for each row, would take twice as long
        recording, steps, applied, resets = self._recording, self._steps, None, self._resets.count
        if recording.under_way:
            try:
                applied = self._actions.one(action) if steps is None else self._actions.bytes_of(action)
            except Exception as error:
                recording.lose(error)
        try:
            answer = self.env.step(action)
        except BaseException:
            recording.break_off()
            raise
        try:
            observation, reward, terminated, truncated, info = answer
            if (
                steps is not None
                and applied is not None
                and self._resets.count == resets
                and type(observation) is np.ndarray
                and observation.shape == steps.shape
                and observation.dtype == steps.dtype
                and (type(reward) is float or type(reward) is np.float64)
                and type(info) is dict
                and [*info] == steps.keys
                and [*map(type, info.values())] == steps.types
            ):
                ended = (bool(terminated), bool(truncated)) if terminated or truncated else NOT_ENDED
                steps.rows += [applied, observation.tobytes(), reward, ended, *info.values()]
                if ended is not NOT_ENDED:
                    self._finish(steps)
            else:
                self._catch_up()
                self._add(applied, answer, self._resets.count > resets)
                if steps is not None and steps is self._steps:
                    self._expect(info, steps)
        except Exception as error:
            recording.lose(error)
        return answer

    def close(self) -> None:
        self._recording.stop()
        stop_counting(self.env, self._resets)
        super().close()

    def _begin(self, answer: Any, seed: int | None) -> None:
        observation, info = answer
        self._begin_with(self._copy(observation), known_seed(seed), info_of_step(self._log, info))

    def _begin_with(self, seen: Any, seed: int = UNKNOWN, info: Mapping[Any, Any] = NO_INFOS) -> None:
        """An episode begins. Its usual steps show what its first observation shows."""
        self._recording.begin(seen, seed, info)
        is_usual = type(seen) is np.ndarray and seen.shape == self._shape and stored_as_is(seen.dtype)
        self._steps = UniformSteps(self._actions.row, seen, *self._infos) if is_usual else None

    def _expect(self, info: Any, steps: UniformSteps) -> None:
        """A step was not usual. From now on usual steps have infos like its own; or there are no more of them in this
        episode, where something in that has to be looked at in each step, and where this is the second such step.
        """
        if (
            self._changed_in is not steps
            and type(info) is dict
            and LOOKED_AT.isdisjoint(info)
            and UNCHANGING.issuperset(map(type, info.values()))
            and TEXT.issuperset(map(type, info))
        ):
            self._infos = steps.keys, steps.types = [*info], [*map(type, info.values())]
            self._changed_in = steps
        else:
            self._steps = None

    def _finish(self, steps: UniformSteps) -> None:
        """The last of these steps ended the episode."""
        if self._recording.has_steps:
            self._catch_up()
            self._recording.finish()
        else:
            self._recording.finish_uniform(steps)
            steps.rows = []

    def _catch_up(self) -> None:
        """Hand the usual steps over to the recording."""
        if (steps := self._steps) is not None and steps.rows:
            apart, ended = steps.apart(), steps.ended
            steps.rows = []
            self._recording.extend(*apart, *ended)

    def _add(self, action: bytes | Shaped[np.ndarray, "..."] | None, answer: Any, was_reset: bool) -> None:
        observation, reward, terminated, truncated, info = answer
        recording, ended = self._recording, bool(terminated or truncated)
        if not recording.under_way and not was_reset:
            recording.stray()
            return
        seen, kept = self._copy(observation), info_of_step(self._log, info)
        if action is None or not recording.under_way:
            self._begin_with(seen, info={} if ended else kept)
            return
        applied = self._actions.array(action) if isinstance(action, bytes) else action
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
        self._begin_with(seen, info={} if own is None else kept)

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
