"""The episode that one environment is in, from its first observation to the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.envs.gym.infos import success_of
from pipeline.episode import UNKNOWN, Episode
from pipeline.errors import InvalidEpisode
from pipeline.interfaces import Transition
from pipeline.live.copies import take_mission
from pipeline.live.log import EpisodeLog
from pipeline.rollout.builder import EpisodeBuilder

log = logging.getLogger(__name__)

LARGEST_SEED = np.iinfo(np.int64).max


class Recording:
    """Turns the resets and steps of one environment into episodes, and appends each to the log when it ends.

    It keeps references, so the caller must pass copies. Steps after an end and before the next reset belong to no
    episode. An episode that breaks an invariant, such as a NaN among its rewards, is left out, with a warning in the
    manifest: one bad episode must not stop a training.
    """

    def __init__(self, episodes: EpisodeLog) -> None:
        self._log = episodes
        self._building: EpisodeBuilder | None = None
        episodes.require_open()

    def begin(self, observation: Any, seed: int = UNKNOWN) -> None:
        """A reset gave `observation`. An episode that was under way is cut off."""
        self.stop()
        self._log.begin(self)
        seen, mission = take_mission(observation)
        self._building = EpisodeBuilder(seen, seed if 0 <= seed <= LARGEST_SEED else UNKNOWN, mission)

    def add(
        self,
        action: Shaped[np.ndarray, "..."],
        observation: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        discount: float = 1.0,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        """An action and what followed it. Hands the episode to the log where that was its end."""
        building = self._building
        if building is None:
            return
        seen, _ = take_mission(observation)
        info = info or {}
        building.add(action, Transition(seen, reward, terminated, truncated, discount, success_of(info), info))
        if terminated or truncated:
            self._finish(building)

    def stop(self) -> None:
        """End the episode under way, if there is one, as `EpisodeLog.unfinished` says."""
        building = self._building
        if building is None:
            return
        if self._log.unfinished == "keep" and len(building):
            self._finish(building)
            return
        self._forget()
        if len(building):
            log.info("dropped %d steps of an episode that was cut off before its end", len(building))

    def _forget(self) -> None:
        self._building = None
        self._log.end(self)

    def _finish(self, building: EpisodeBuilder) -> None:
        self._forget()
        episode = self._built(building)
        for note in building.notes:
            self._log.note(note)
        if episode is not None:
            self._log.append(episode)

    def _built(self, building: EpisodeBuilder) -> Episode | None:
        try:
            return building.build()
        except InvalidEpisode as error:
            self._log.note(f"an episode of {len(building)} steps was left out: {error}")
            return None
