"""An episode in the making: observations, actions and what followed, until it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.infos import stack_infos
from pipeline.episode import UNKNOWN, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.exact import one_array, stack_alike
from pipeline.interfaces import Observation, Transition
from pipeline.observation import observation_columns


class EpisodeBuilder:
    """Collects the steps of one episode. Keeps the arrays it is given, so the caller must not write into them.

    Attributes:
        notes: after `build`, which infos are not stored and why, and which names are shortened.
    """

    def __init__(
        self,
        observation: Observation,
        seed: int = UNKNOWN,
        mission: str = "",
        reset_info: Mapping[Any, Any] = MappingProxyType({}),
    ) -> None:
        self._observations: list[Observation] = [observation]
        self._actions: list[np.ndarray] = []
        self._transitions: list[Transition] = []
        self._seed, self._mission, self._reset_info = seed, mission, reset_info
        self._has_last = True
        self.notes: list[str] = []

    def __len__(self) -> int:
        """Steps so far."""
        return len(self._transitions)

    def add(self, action: Shaped[np.ndarray, "..."], transition: Transition) -> None:
        """One action and what followed it."""
        self._observations.append(transition.observation)
        self._actions.append(action)
        self._transitions.append(transition)

    @property
    def has_ended(self) -> bool:
        """Whether the last transition says so."""
        return bool(self._transitions) and (self._transitions[-1].terminated or self._transitions[-1].truncated)

    def lose_last_observation(self) -> None:
        """The last observation is not what it stands for: zeros are stored, and that it is not there."""
        self._has_last = False

    def build(self, unfinished: str = "budget") -> Episode:
        """The episode so far, which has at least one step.

        `end_reason` is `terminated` or `time_limit` as the last transition says; where it says neither, it is
        `unfinished`, and the episode counts as truncated; but not for `source`: then nobody knows why it ended.
        """
        last = self._transitions[-1]
        discounts = [0.0 if each.terminated else float(each.discount) for each in self._transitions]
        rewards = [each.reward for each in self._transitions]
        infos = stack_infos(self._reset_info, [each.info for each in self._transitions])
        self.notes = infos.notes
        steps = {
            **_stack_observations(self._observations, self._has_last),
            "action": with_last_row("action", stack_alike(self._actions)),
            "reward": with_last_row("reward", np.asarray(rewards, np.float64)),
            "discount": with_last_row("discount", np.asarray(discounts, np.float64)),
            **infos.steps,
        }
        return Episode(
            steps,
            seed=self._seed,
            terminated=last.terminated,
            truncated=last.truncated or not (last.terminated or unfinished == "source"),
            success=max(each.success for each in self._transitions),
            mission=self._mission,
            end_reason=_end_reason(last, unfinished),
            has_final_observation=self._has_last,
            reset_info=infos.reset,
            info_texts=infos.texts,
            reset_texts=infos.reset_texts,
        )


def _end_reason(last: Transition, unfinished: str) -> str:
    if last.terminated:
        return "terminated"
    return "time_limit" if last.truncated else unfinished


def _stack_observations(
    observations: Sequence[Observation], has_last: bool
) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    """`observation`, or `observation/<key>` for each array of a nested one; T+1 rows each."""
    steps = {}
    for name, rows in observation_columns(observations, "observation").items():
        array = one_array(rows)
        if array is None:
            kinds = " and ".join(dict.fromkeys(f"{row.dtype}{list(row.shape)}" for row in rows))
            raise InvalidInput(
                f"{name} must hold numbers of one shape, in a type that has all of them; it is {kinds}. A text belongs "
                f"into the mission."
            )
        if not has_last:
            array[-1] = 0
        steps[name] = array
    return steps
