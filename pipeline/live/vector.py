"""Episodes of a Gymnasium vector environment, one recording for each of its environments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from jaxtyping import Shaped

from pipeline.dataset.plain import PlainEpisode, PlainRows, plain_episode, plain_rows
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
from pipeline.live.rows import StepRows
from pipeline.rollout.uniform import NO_INFOS

_COUNT = attrgetter("count")

NOWHERE = -1
"""Row of an episode's first observation that is not among the rows."""

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
        self._is_next_step = self._mode == AutoresetMode.NEXT_STEP
        layout = layout_of_space(env.single_observation_space)
        self._copy, self._actions = layout_copy(layout), ActionCopies(env.single_action_space)
        self._log = log
        self._recordings = [
            Recording(log, layout_dtypes(layout), partial(self._catch_up, i)) for i in range(env.num_envs)
        ]
        self._rows: StepRows | None = None  # the last plain steps; None before the first one
        self._of: PlainRows | None = None  # one row of the episodes in them; None where they can be no plain ones
        self._taken = [0] * env.num_envs  # how many of these rows each recording has, or needs not
        self._begun = [NOWHERE] * env.num_envs  # the row of its episode's first observation, where all of it is there
        self._has_texts = _has_texts(env.single_observation_space)
        self._shape = (env.num_envs, *layout.shape) if isinstance(layout, OneArray) else None
        self._count, self._space = env.num_envs, env.action_space  # each a walk through all wrappers
        self._none = [False] * env.num_envs  # flags of a step after which no episode ends
        self._says_none, self._each = bytes(env.num_envs), (env.num_envs,)
        self._uncounted = [0] * env.num_envs  # resets that nobody sees
        self._is_calm = False  # no environment is between two episodes
        self._guarded = [(recording,) for recording in self._recordings]
        self._ended = [False] * env.num_envs
        self._all = list(range(env.num_envs))
        inside = env.unwrapped.envs if isinstance(env.unwrapped, SyncVectorEnv) else ()
        self._resets = [(each, count_resets(each)) for each in inside]
        self._counters = [counter for _, counter in self._resets]
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
        applied, resets = None, list(map(_COUNT, self._counters))
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
            self._add_step(applied, answer, resets)
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
        self._is_calm = self._are_calm()

    def _begin(self, i: int, observation: Any, infos: Any, seed: int = UNKNOWN) -> None:
        self._recordings[i].begin(observation, seed, one_info(infos, i, self.num_envs) if infos else {})

    def _add_step(self, applied: Shaped[np.ndarray, "envs ..."] | None, answer: Any, resets: list[int]) -> None:
        """A step of all environments, before which each had been reset so often.

        Nearly always it is a row, in which some environments may end or begin an episode.
        """
        seen, rewards, terminations, truncations, infos = answer
        now = list(map(_COUNT, self._counters))
        is_one = type(seen) is np.ndarray and seen.shape == self._shape
        if (
            self._is_calm
            and is_one
            and applied is not None
            and not infos
            and now == resets
            and type(terminations) is type(truncations) is type(rewards) is np.ndarray
            and terminations.tobytes() == truncations.tobytes() == self._says_none
            and rewards.dtype in PLAIN_REWARDS
            and rewards.shape == self._each
        ):
            self._room(applied, seen).add(applied, seen, rewards)
            return
        seen = seen if is_one else self._copied(seen)
        column, terminated, truncated = self._column(rewards), *self._flags(terminations, truncations)
        is_calm = self._is_calm and now == resets and terminated == truncated == self._none
        inside = [after - before for after, before in zip(now, resets, strict=True)] or self._uncounted
        if applied is None or self._has_texts or column.dtype not in PLAIN_REWARDS or (infos and has_info(infos)):
            self._hand_over()
            batch, gained = seen.copy() if is_one else seen, column.tolist()
            for i in self._all:
                action = None if applied is None else applied[i, ...]
                step = action, one_of(batch, i), gained[i], terminated[i], truncated[i]
                self._add_apart(i, step, infos, inside[i])
        else:
            self._room(applied, seen).add(applied, seen, column)
            if is_calm:
                return
            after_end = [each.ended for each in self._recordings]
            for i in self._all:
                if terminated[i] or truncated[i] or self._ended[i] or after_end[i] or inside[i]:
                    self._add_row(i, terminated[i], truncated[i], infos, inside[i])
        self._is_calm = self._are_calm()

    def _are_calm(self) -> bool:
        return True not in self._ended and True not in [each.ended for each in self._recordings]

    def _add_row(self, i: int, terminated: bool, truncated: bool, infos: Any, resets: int) -> None:
        """The last row is more than a plain step to an environment. Mostly it ends an episode, or begins the next."""
        rows, ends = self._rows, terminated or truncated
        if rows is None:
            return
        last, begins = rows.count - 1, self._ended[i] and self._is_next_step
        if begins and not (ends or infos or resets > 1):
            self._catch_up(i, last)
            self._ended[i], self._taken[i] = False, rows.count
            attempt(self._guarded[i], self._recordings[i].begin, rows.seen(i, last))
            self._begun[i] = last if self._recordings[i].under_way else NOWHERE
            return
        if ends and not (begins or infos or resets) and (episode := self._plain(rows, i, terminated, truncated)):
            self._ended[i], self._begun[i], self._taken[i] = True, NOWHERE, rows.count
            attempt(self._guarded[i], self._recordings[i].finish_plain, episode)
            return
        self._catch_up(i, last)
        self._taken[i] = rows.count
        (action, *_), (seen, *_), (gained, *_) = rows.copied(i, last, rows.count)
        self._add_apart(i, (action, seen, float(gained), terminated, truncated), infos, resets)

    def _plain(self, rows: StepRows, i: int, terminated: bool, truncated: bool) -> PlainEpisode | None:
        """The episode that the last row ends, where all of it is in the rows and nothing about it is unusual."""
        of, first = self._of, self._begun[i]
        if of is None or first == NOWHERE or not self._log.takes_plain(of):
            return None
        actions, observations, rewards = rows.of(i, first, rows.count)
        return plain_episode(of, actions[1:], observations, rewards[1:], terminated, truncated)

    def _room(self, applied: Shaped[np.ndarray, "envs ..."], seen: Any) -> StepRows:
        """Where a step like this one can be added. The recordings get all rows when there is none."""
        rows = self._rows
        if rows is None or not rows.fits(applied, seen):
            self._hand_over()
            rows = self._rows = StepRows(applied, seen)
            self._of = plain_rows(applied, seen)
        elif rows.is_full:
            self._make_room(rows)
        return rows

    def _make_room(self, rows: StepRows) -> None:
        """Keep those rows that belong to episodes which are whole there, if they are not too many."""
        first = min((begun for begun in self._begun if begun != NOWHERE), default=0)
        if first < rows.count // 2:
            self._hand_over()
            return
        for i in self._all:
            if self._begun[i] == NOWHERE:
                self._catch_up(i)
        rows.forget(first)
        self._taken = [taken - first for taken in self._taken]
        self._begun = [NOWHERE if begun == NOWHERE else begun - first for begun in self._begun]

    def _hand_over(self) -> None:
        """Hand all rows over to the recordings."""
        for i in self._all:
            self._catch_up(i)
        self._taken = [0] * self._count
        if self._rows is not None:
            self._rows.count = 0

    def _catch_up(self, i: int, last: int | None = None) -> None:
        """Hand the rows, or those before `last`, that a recording does not have yet over to it."""
        rows, first = self._rows, self._taken[i]
        self._begun[i] = NOWHERE
        if rows is None:
            return
        end = rows.count if last is None else last
        if first < end:
            self._taken[i] = end
            self._recordings[i].extend(*rows.copied(i, first, end), [NO_INFOS] * (end - first))

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
        if type(column) is np.ndarray and column.shape == (self._count,):
            return column
        each = in_shape(np.asarray(column), (self._count,))
        if each.shape[:1] != (self._count,):
            raise InvalidInput(f"A step should give {self.num_envs} rewards and flags; it gave an array {each.shape}.")
        return each

    def _flags(self, *several: Any) -> list[list[bool]]:
        return [self._column(flags).tolist() for flags in several]

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
