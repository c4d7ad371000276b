"""BabyAI's scripted expert: the package's bot, which sees the actions taken, and is stopped where it never ends."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int64

from pipeline.envs.babyai.view import remember_quickly
from pipeline.interfaces import GaveUp, Observation
from pipeline.wording import error_text

MOST_SUBGOALS = 100
"""Subgoals that the bot may add to its plan for one action. Far fewer are enough, or none ever are."""


class Bot:
    """BabyAIBot in one episode of one level.

    Args:
        level: the package's environment, which the bot reads; it must have been reset before the first `act`.
        taken: the last action of the episode, None before the first.
        done: the action that changes nothing.
    """

    def __init__(self, level: Any, taken: Callable[[], int | None], done: int) -> None:
        self._level, self._taken, self._done = level, taken, np.asarray(done, np.int64)
        self._bot: Any = None
        self._suggested: int | None = None

    def act(self, observation: Observation, rng: np.random.Generator) -> Int64[np.ndarray, ""]:
        """The bot's next action. Uses neither `observation` nor `rng`. Raises GaveUp where the bot fails."""
        try:
            self._suggested = self._replan()
        except Exception as error:  # assertions, missing attributes, errors of its own: it has no plan
            raise GaveUp(error_text(error), self._done) from error
        return np.asarray(self._suggested, np.int64)

    def _replan(self) -> int:
        if self._bot is None:
            bot = importlib.import_module("minigrid.utils.baby_ai_bot").BabyAIBot(self._level)
            self._bot = remember_quickly(bot, self._level)
            self._bot.stack = _Plan(self._bot.stack)
        self._bot.stack.added = 0
        # None says that it is the one suggested, or that there was none. Others are mixed in by policy.randomness.
        taken = self._taken()
        return int(self._bot.replan(None if taken == self._suggested else taken))


class _Plan(list[Any]):
    """The bot's stack of subgoals, which refuses to grow without end.

    It does where nothing is left to explore but a locked room, and the room's key has not been seen: to open the door
    the bot wants the key, to find the key it wants to explore, to explore it wants to open the door.
    """

    added = 0

    def append(self, subgoal: Any) -> None:
        self.added += 1
        if self.added > MOST_SUBGOALS:
            raise RecursionError(f"more than {MOST_SUBGOALS} subgoals for one action")
        super().append(subgoal)
