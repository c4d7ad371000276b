"""The decisions that Stable-Baselines3's Atari wrapper takes by itself: FIRE where an episode or a life begins."""

from __future__ import annotations

from pipeline.domains.atari import ACTIONS

AT_START = "start"
"""Presses where an episode begins, and not after a lost life: the wrapper's `terminal_on_life_loss=False`."""

NOOP, FIRE, NEXT = 0, 1, 2
"""Places in every action set that knows FIRE; the wrapper presses FIRE, then whatever comes next."""


class Presses:
    """Which action is due, whatever the agent wants, after what has been played.

    The rule is that of `FireResetEnv` around `EpisodicLifeEnv`: FIRE and the next action where an episode begins; after
    a lost life one decision without action before them. A life that is lost by one of the two has the decision without
    action follow. A game without FIRE has nothing pressed, but the decision without action stays.

    Args:
        actions: the game's action set, as places in ACTIONS.
        lives: whether a lost life counts.
    """

    def __init__(self, actions: tuple[int, ...], lives: bool) -> None:
        self._opening = [FIRE, NEXT] if ACTIONS[actions[FIRE]] == "FIRE" else []
        self._counts, self._lives = lives, 0
        self._due: list[int] = []

    @property
    def due(self) -> int | None:
        """The action that the next decision sends, as a place in the action set; None: the agent's own."""
        return self._due[0] if self._due else None

    def begin(self, lives: int) -> None:
        """An episode begins."""
        self._due, self._lives = list(self._opening), lives

    def decided(self, lives: int) -> None:
        """A decision has been played, the one that was due where one was; so many lives are left."""
        sent = self._due.pop(0) if self._due else None
        if self._counts and sent != NOOP and 0 < lives < self._lives:
            self._due = [NOOP, *(self._opening if sent is None else self._due)]
        self._lives = lives

    def began_again(self, lives: int) -> None:
        """The game was over by what was due, and has begun again; what else is due follows."""
        self._due, self._lives = self._due[1:], lives
