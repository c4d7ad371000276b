"""The episode that one environment is in, from its first observation to the log; and what becomes of a fault."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.plain import PlainEpisode
from pipeline.envs.gym.infos import kept_info, success_of
from pipeline.episode import UNKNOWN, Episode
from pipeline.exact import exactly
from pipeline.live.copies import take_mission
from pipeline.live.layout import OBSERVATION
from pipeline.live.log import EpisodeLog
from pipeline.rollout.builder import EpisodeBuilder
from pipeline.rollout.uniform import UniformSteps
from pipeline.wording import how_many

log = logging.getLogger(__name__)

LARGEST_SEED = np.iinfo(np.int64).max

NO_DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType({})


def nothing() -> None:
    """No step is late."""


STRAY = (
    "steps came after the end of an episode and before a reset; they are not stored. Where the environment resets "
    "itself, wrap the one inside of what resets it"
)
LOST_LAST = (
    "the environment resets itself inside of step and does not hand out the last observation; it is stored as zeros, "
    "with has_final_observation False"
)
HIDDEN_END = (
    "the environment began another episode inside of step without saying that one had ended; the end reason of that "
    "one is stored as source"
)
FAILED_INSIDE = (
    "the environment failed inside of step or reset, so the episode under way is cut off before that; steps until the "
    "next reset are not stored"
)
TORN_MISSION = "half of a character in a mission, which cannot be written as UTF-8, is stored as ?"
OTHER_MISSION = "the mission changed in the middle of an episode, where its first one is kept"


class Recording:
    """Turns the resets and steps of one environment into episodes, and appends each to the log when it ends.

    It keeps references, so the caller must pass copies. Steps after an end and before the next reset belong to no
    episode. Callers go through `attempt`, which guards all that happens here.

    Args:
        episodes: the log.
        dtypes: those that the arrays of observations should have, by name, where that loses nothing.
        late: hands over, by `extend`, steps that have not been handed over yet.

    Attributes:
        ended: an episode has ended, and none has begun since.
        under_way: steps belong to an episode.
    """

    def __init__(
        self,
        episodes: EpisodeLog,
        dtypes: Mapping[str, np.dtype[Any]] = NO_DTYPES,
        late: Callable[[], None] = nothing,
    ) -> None:
        self._log, self._dtypes, self._late = episodes, dtypes, late
        self._building: EpisodeBuilder | None = None
        self._ending: int | None = None  # steps of the episode that is on its way to the log
        self._begun, self._seed, self._mission = 0, UNKNOWN, ""
        self.ended = self.under_way = False
        episodes.require_open()

    @property
    def has_steps(self) -> bool:
        """Whether any have been handed over since the episode began."""
        return bool(self._building)

    def begin(self, observation: Any, seed: int = UNKNOWN, info: Mapping[Any, Any] = MappingProxyType({})) -> None:
        """A reset gave `observation` and `info`. An episode that was under way is cut off."""
        if self._building is None:
            self._late()
        else:
            self.stop()
        self.ended = False
        self._seed = seed if 0 <= seed <= LARGEST_SEED else UNKNOWN
        self._log.begin(self)
        seen, self._mission = take_mission(observation)
        mission = self._mission.encode(errors="replace").decode()
        if mission != self._mission:
            self._log.note(f"{TORN_MISSION}: {self._mission!a}", kind=TORN_MISSION)
        self._building, self.under_way = EpisodeBuilder(seen, self._seed, mission, info), True
        self._begun += 1

    def add(
        self,
        action: Shaped[np.ndarray, "..."],
        observation: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        discount: float = 1.0,
        info: Mapping[Any, Any] = MappingProxyType({}),
    ) -> None:
        """An action and what followed it. Hands the episode to the log where that was its end."""
        building = self._building
        if building is None:
            self.stray()
            return
        if type(observation) is not np.ndarray:
            observation, mission = take_mission(observation)
            if mission != self._mission:
                self._log.note(f"{OTHER_MISSION}: {mission!a} after {self._mission!a}", kind=OTHER_MISSION)
        success = success_of(info) if info else UNKNOWN
        building.add_step(action, observation, reward, terminated, truncated, discount, success, info)
        if terminated or truncated:
            self.ended = True
            self._finish(building)

    def extend(
        self,
        actions: Sequence[Shaped[np.ndarray, "..."]],
        observations: Sequence[Any],
        rewards: Sequence[float],
        infos: Sequence[Mapping[Any, Any]],
        terminated: bool = False,
        truncated: bool = False,
    ) -> None:
        """Several steps without missions, and without success in their infos. Where the last one ended the episode,
        `finish` hands it to the log.
        """
        if self._building is not None:
            self._building.extend(actions, observations, rewards, infos, terminated, truncated)

    def finish(self) -> None:
        """The last step that was handed over ended the episode."""
        self.ended = True
        if self._building is not None:
            self._finish(self._building)

    def finish_uniform(self, steps: UniformSteps) -> None:
        """The episode is over, and `steps` are all of it. Where this fails they are not handed over."""
        self.ended = True
        if (building := self._building) is not None:
            self._append(building, building.build_uniform(steps))

    def add_lost(
        self,
        action: Shaped[np.ndarray, "..."],
        instead: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        info: Mapping[Any, Any] = MappingProxyType({}),
    ) -> None:
        """The last action of an episode of which the last observation is lost; `instead` came in its place.

        Where it neither terminated nor was truncated, nobody knows why it ended.
        """
        if (building := self._building) is None:
            return
        seen, _ = take_mission(instead)
        building.add_step(action, seen, reward, terminated, truncated, 1.0, success_of(info), info)
        building.lose_last_observation()
        self._log.note(LOST_LAST)
        self.ended = True
        self.finish_unseen()

    def finish_unseen(self) -> None:
        """The episode ended without a word; it is whole up to here."""
        if (building := self._building) is not None and len(building):
            if not building.has_ended:
                self._log.note(HIDDEN_END)
            self._finish(building, "source")

    def finish_plain(self, episode: PlainEpisode) -> None:
        """The episode is over, and all its steps are in `episode`; none of them was handed over."""
        self.ended = True
        self._forget()
        self._ending = episode.length
        self._log.append(episode)
        self._ending = None

    def stray(self) -> None:
        """A step came that belongs to no episode."""
        if self.ended:
            self._log.note(STRAY)

    def break_off(self) -> None:
        """The environment failed: what it does next does not follow what is known of the episode."""
        if self.under_way:
            self._log.note(FAILED_INSIDE)
            self.stop()

    def stop(self) -> None:
        """End the episode under way, if there is one, as `EpisodeLog.unfinished` says."""
        attempt((self,), self._cut_off)

    def lose(self, error: Exception) -> None:
        """Leave the episode under way out, because of an error in recording it."""
        self._late()
        steps, self._ending = self._ending if self._building is None else len(self._building), None
        if steps is None:  # it could not even begin
            self._begun += 1
            known = ""
        else:
            seed = "" if self._seed == UNKNOWN else f", seed {self._seed}"
            known = f"{seed}, {how_many(steps, 'steps')}"
        self._forget()
        self._log.lose(f"an episode (number {self._begun} of its environment{known})", error)

    def _cut_off(self) -> None:
        self._late()
        building = self._building
        if building is None:
            return
        if self._log.unfinished == "keep" and len(building):
            self._finish(building)
            return
        self._forget()
        if len(building):
            log.info("dropped %s of an episode that was cut off before its end", how_many(len(building), "steps"))

    def _forget(self) -> None:
        self._building, self.under_way = None, False
        self._log.end(self)

    def _finish(self, building: EpisodeBuilder, unfinished: str = "budget") -> None:
        self._append(building, building.build(unfinished))

    def _append(self, building: EpisodeBuilder, built: Episode) -> None:
        episode = self._in_known_dtypes(built)
        for note in building.notes:
            self._log.note(note)
        self._forget()
        self._ending = episode.length
        self._log.append(episode)
        self._ending = None

    def _in_known_dtypes(self, episode: Episode) -> Episode:
        """Observations in the dtypes of the dataset, else in those of their space, where that loses nothing."""
        names = [name for name in episode.steps if name.startswith(OBSERVATION)]
        changed, known = {}, self._log.dtypes(names)
        for name in names:
            array, dtype = episode.steps[name], known.get(name) or self._dtypes.get(name)
            if dtype not in (None, array.dtype) and (fitting := exactly(array, dtype)) is not None:
                changed[name] = fitting
        return dataclasses.replace(episode, steps={**episode.steps, **changed}) if changed else episode


def attempt(recordings: Iterable[Recording], work: Callable[..., Any], *arguments: Any) -> Any:
    """The one guard around recording: what goes wrong loses the episodes under way and is noted, the loop goes on.

    Returns what `work` gives, None where it failed.
    """
    try:
        return work(*arguments)
    except Exception as error:  # whatever an environment hands out, and whatever a disk says, ends no training
        for recording in recordings:
            recording.lose(error)
        return None


def asked(recordings: Iterable[Recording], method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What the environment's own `step` or `reset` gives. Where it raises, the episodes under way end before that."""
    try:
        return method(*arguments, **named)
    except BaseException:
        for recording in recordings:
            recording.break_off()
        raise


def known_seed(seed: Any) -> int:
    """The seed that was given to a reset; UNKNOWN where it was none, or no whole number."""
    return int(seed) if isinstance(seed, int | np.integer) else UNKNOWN


def info_of_step(episodes: EpisodeLog, info: Any) -> Mapping[Any, Any]:
    """A copy of an info; empty, with a note, where it is no mapping."""
    if type(info) is dict or info is None or isinstance(info, Mapping):
        return kept_info(info)
    episodes.note(f"an info that is no mapping is not stored: {type(info).__name__}")
    return {}
