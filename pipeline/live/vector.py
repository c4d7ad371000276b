"""Episodes of a Gymnasium vector environment, one recording for each of its environments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from jaxtyping import Shaped

from pipeline.envs.gym.infos import FINAL_INFO, final_observation, kept_info
from pipeline.envs.gym.resets import count_resets, stop_counting
from pipeline.envs.gym.text import holds_texts
from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput
from pipeline.exact import one_number
from pipeline.live.batches import batch_copy, ending_info, has_info, one_info, one_of
from pipeline.live.copies import ActionCopies
from pipeline.live.layout import OneArray, in_shape, layout_copy, layout_dtypes, layout_of_space
from pipeline.live.log import EpisodeLog
from pipeline.live.recording import Recording, asked, attempt, known_seed
from pipeline.rollout.builder import NO_INFOS

MOST_ROWS = 64
"""So many plain steps are kept together."""

PLAIN_REWARDS = (np.dtype(np.float64), np.dtype(np.float32))

AUTORESET_MODE, RESET_MASK = "autoreset_mode", "reset_mask"


class RecordVectorEpisodes(VectorWrapper):
    """Hands each finished episode of each environment in `env` to `log`, and changes nothing that goes in or out.

    Episodes come in the order in which they end, those of one step in the order of their environments.
    `env.metadata["autoreset_mode"]` says how `env` resets; give `autoreset_mode` where it says nothing:

    * next step: the step after an end is a reset. It is no transition, and its action is ignored.
    * same step: the last observation and info are `infos["final_obs"]` and `infos["final_info"]`; the observation that
      is returned begins the next episode. Without `final_obs` the last observation is lost, and marked so.
    * disabled: the caller resets, some environments only with `options={"reset_mask": mask}`.

    An info belongs to the environments that its mask `_<key>` marks; without a mask it belongs to all. Environment i
    has the i-th seed of a list given to `reset`, or n + i where a SyncVectorEnv or AsyncVectorEnv is given one number
    n. Other vector environments use a number in their own way, so their seeds are unknown. An unknown seed is -1, also
    after a reset without a seed and after an automatic reset. Environments of a SyncVectorEnv that reset themselves
    inside of their own `step` are noticed. All else is as in `RecordEpisodes`.

    Raises:
        InvalidInput: the reset mode is not known, `env` is of another kind, a space cannot be stored, or the log is
            closed.
    """

    def __init__(self, env: VectorEnv, log: EpisodeLog, autoreset_mode: AutoresetMode | None = None) -> None:
        if not isinstance(env, VectorEnv):
            raise InvalidInput(
                f"RecordVectorEpisodes takes a gymnasium.vector.VectorEnv; this is {type(env).__name__}. Of a VecEnv "
                "of Stable-Baselines3, wrap each environment inside: DummyVecEnv([lambda: RecordEpisodes(env, log)])"
            )
        super().__init__(env)
        self._mode = _mode(env, autoreset_mode)
        layout = layout_of_space(env.single_observation_space)
        self._copy, self._actions = layout_copy(layout), ActionCopies(env.single_action_space)
        self._log = log
        self._recordings = [
            Recording(log, layout_dtypes(layout), partial(self._catch_up, i)) for i in range(env.num_envs)
        ]
        self._rows: list[tuple[Any, Any, list[float]]] = []  # actions, observations and rewards of plain steps
        self._taken = [0] * env.num_envs  # how many of these rows each recording has, or needs not
        self._has_texts = _has_texts(env.single_observation_space)
        self._shape = (env.num_envs, *layout.shape) if isinstance(layout, OneArray) else None
        self._count, self._space = env.num_envs, env.action_space  # each a walk through all wrappers
        self._none = bytes(env.num_envs)  # flags of a step after which no episode ends
        self._is_calm = False  # no environment is between two episodes
        self._guarded = [(recording,) for recording in self._recordings]
        self._ended = [False] * env.num_envs
        self._all = list(range(env.num_envs))
        inside = env.unwrapped.envs if isinstance(env.unwrapped, SyncVectorEnv) else ()
        self._resets = [(each, count_resets(each)) for each in inside]
        if self._actions.layout:
            log.note(self._actions.note)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Any]:
        mask = np.array((options or {}).get(RESET_MASK, [True] * self.num_envs))  # copied now: `env` takes it out
        if not self._log.stopped:
            self._log.require_open()
        answer = asked(self._recordings, self.env.reset, seed=seed, options=options)
        if not self._log.stopped:
            attempt(self._recordings, self._begin_all, answer, seed, mask)
        return answer

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Any]:
        if self._log.stopped:
            return self.env.step(actions)
        # `attempt` and `asked` once more, written out: their calls would be a tenth of what a step takes
        applied, resets = None, [counter.count for _, counter in self._resets]
        try:
            applied = self._actions.batch(self._space, actions, self._count)
        except Exception as error:
            self._lose_all(error)
        try:
            answer = self.env.step(actions)
        except BaseException:
            for recording in self._recordings:
                recording.break_off()
            raise
        try:
            if applied is not None and self._is_plain(*answer) and resets == [each.count for _, each in self._resets]:
                self._rows.append((applied, answer[0].copy(), answer[1].tolist()))
                self._hand_over_many()
            else:
                self._add_all(applied, answer, resets)
        except Exception as error:
            self._lose_all(error)
        return answer

    def close(self, **kwargs: Any) -> None:
        for recording in self._recordings:
            recording.stop()
        for env, counter in self._resets:
            stop_counting(env, counter)
        super().close(**kwargs)

    def _begin_all(
        self, answer: Any, seed: int | Sequence[int | None] | None, mask: Shaped[np.ndarray, "envs"]
    ) -> None:
        observations, infos = answer
        seeds, batch = self._seeds(seed), self._copied(observations)
        for i in np.flatnonzero(mask).tolist():
            self._ended[i] = False
            attempt(self._guarded[i], self._begin, i, one_of(batch, i), infos, seeds[i])
        self._look_around()

    def _begin(self, i: int, observation: Any, infos: Any, seed: int = UNKNOWN) -> None:
        self._recordings[i].begin(observation, seed, one_info(infos, i, self.num_envs) if infos else {})

    def _is_plain(self, observations: Any, rewards: Any, terminations: Any, truncations: Any, infos: Any) -> bool:
        """Whether a step is one row of all environments: nothing ends or begins, all is of the usual types."""
        return (
            self._is_calm
            and not infos
            and type(observations) is np.ndarray
            and observations.shape == self._shape
            and type(rewards) is np.ndarray
            and rewards.dtype in PLAIN_REWARDS
            and rewards.shape == (self._count,)
            and self._says_none(terminations)
            and self._says_none(truncations)
        )

    def _says_none(self, flags: Any) -> bool:
        return type(flags) is np.ndarray and flags.dtype == np.bool_ and flags.tobytes() == self._none

    def _hand_over_many(self) -> None:
        """Rows wait until an episode ends; but not so many that their memory matters."""
        if len(self._rows) >= MOST_ROWS:
            for i in self._all:
                self._catch_up(i)
            self._rows, self._taken = [], [0] * self.num_envs

    def _look_around(self) -> None:
        self._is_calm = not (self._has_texts or any(self._ended) or any(each.ended for each in self._recordings))

    def _add_all(self, applied: Shaped[np.ndarray, "envs ..."] | None, answer: Any, resets: Sequence[int]) -> None:
        """A step in which some environments end or begin an episode; to the others it is plain."""
        observations, rewards, terminations, truncations, infos = answer
        batch, column = self._copied(observations), self._column(rewards)
        gained, terminated, truncated = column.tolist(), self._flags(terminations), self._flags(truncations)
        inside = [counter.count - before for (_, counter), before in zip(self._resets, resets, strict=True)]
        if applied is None or self._has_texts or has_info(infos) or column.dtype not in PLAIN_REWARDS:
            apart = self._all
        else:
            apart = [i for i in self._all if terminated[i] or truncated[i] or self._is_apart(i, inside)]
        for i in apart:
            self._catch_up(i)
        if apart is not self._all:
            self._rows.append((applied, batch, gained))
            for i in apart:
                self._taken[i] += 1
        for i in apart:
            action = None if applied is None else applied[i, ...]
            step = action, one_of(batch, i), gained[i], terminated[i], truncated[i]
            self._add_apart(i, step, infos, inside[i] if inside else 0)
        self._hand_over_many()
        self._look_around()

    def _is_apart(self, i: int, inside: Sequence[int]) -> bool:
        """Whether more than a plain step may have happened to an environment that has not just ended."""
        return self._ended[i] or self._recordings[i].ended or bool(inside and inside[i])

    def _catch_up(self, i: int) -> None:
        """Hand the rows that a recording does not have yet over to it."""
        rows = self._rows[self._taken[i] :]
        self._taken[i] = len(self._rows)
        if rows:
            actions, batches, rewards = zip(*rows, strict=True)
            self._recordings[i].extend(
                [batch[i] for batch in actions],
                [one_of(batch, i) for batch in batches],
                [each[i] for each in rewards],
                [NO_INFOS] * len(rows),
            )

    def _add_apart(self, i: int, step: tuple[Any, Any, Any, Any, Any], infos: Any, resets: int) -> None:
        """A step of one environment, which may end or begin an episode; it was reset so often in it."""
        action, seen, gained, terminated, truncated = step
        next_step, same_step = (self._mode == mode for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP))
        begins = self._ended[i] and next_step
        self._ended[i] = ended = bool(terminated or truncated)
        has_next = ended and same_step
        by_itself = resets > (begins or has_next)
        if action is not None and not begins:
            facts = action, seen, gained, bool(terminated), bool(truncated)
            attempt(self._guarded[i], self._add, i, facts, infos, has_next, by_itself)
        if begins or has_next or (by_itself and not (ended and next_step)):
            attempt(self._guarded[i], self._begin, i, seen, infos)

    def _add(self, i: int, step: tuple[Any, Any, Any, bool, bool], infos: Any, has_next: bool, by_itself: bool) -> None:
        """A step of one environment. `has_next`: what it shows is of the next episode; `by_itself`: it reset itself."""
        action, seen, reward, terminated, truncated = step
        recording, gained = self._recordings[i], one_number(reward, "reward")
        if not (terminated or truncated or by_itself):
            info = one_info(infos, i, self.num_envs) if infos else {}
            recording.add(action, seen, gained, terminated, truncated, info=info)
            return
        ending = ending_info(infos, i, self.num_envs) if infos else {}
        final = ending.get(FINAL_INFO)
        last = final_observation(final if has_next and by_itself else ending) if terminated or truncated else None
        info = one_info(infos, i, self.num_envs) if infos and not has_next else kept_info(final)
        if last is not None:
            seen = self._copy(last)
        elif has_next or by_itself:
            recording.add_lost(action, seen, gained, terminated, truncated, info=info)
            return
        recording.add(action, seen, gained, terminated, truncated, info=info)

    def _copied(self, observations: Any) -> Any:
        return batch_copy(self.single_observation_space, observations, self.num_envs)

    def _column(self, column: Any) -> Shaped[np.ndarray, "envs"]:
        """Rewards, or flags, of all environments. Raises InvalidInput where they are not as many."""
        each = in_shape(np.asarray(column), (self._count,))
        if each.shape[:1] != (self._count,):
            raise InvalidInput(f"A step should give {self.num_envs} rewards and flags; it gave an array {each.shape}.")
        return each

    def _flags(self, flags: Any) -> list[bool]:
        each: list[bool] = self._column(flags).tolist()
        return each

    def _lose_all(self, error: Exception) -> None:
        for recording in self._recordings:
            recording.lose(error)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int]:
        if isinstance(seed, int | np.integer):
            known = isinstance(self.unwrapped, SyncVectorEnv | AsyncVectorEnv)
            return [int(seed) + i if known else UNKNOWN for i in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else seed
        return [known_seed(each) for each in seeds]


def _has_texts(space: gym.Space) -> bool:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else getattr(space, "spaces", ())
    return holds_texts(space) or any(map(_has_texts, parts))


def _mode(env: VectorEnv, given: AutoresetMode | None) -> AutoresetMode:
    declared = (env.metadata or {}).get(AUTORESET_MODE)
    if (mode := declared or given) is None:
        raise InvalidInput(f"{env} does not say how it resets; say it with autoreset_mode=AutoresetMode.NEXT_STEP.")
    try:
        known = AutoresetMode(mode)
    except ValueError:
        modes = ", ".join(each.value for each in AutoresetMode)
        raise InvalidInput(f"{env} says {AUTORESET_MODE}={mode}, which is none of {modes}.") from None
    if given is not None and known != AutoresetMode(given):
        raise InvalidInput(f"{env} says {AUTORESET_MODE}={declared}, autoreset_mode={given} was given.")
    return known
