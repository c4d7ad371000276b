"""An episode in the making: observations, actions and what followed, until it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.infos import StackedInfos, stack_info_columns, stack_infos
from pipeline.dataset.plain import PlainEpisode, plain_episode, plain_rows
from pipeline.episode import UNKNOWN, Episode
from pipeline.errors import InvalidInput
from pipeline.exact import alike_arrays, one_array, stack_alike
from pipeline.interfaces import Observation, Transition
from pipeline.observation import observation_columns
from pipeline.rollout.uniform import NO_INFOS, UniformSteps


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
        reset_info: Mapping[Any, Any] = NO_INFOS,
    ) -> None:
        self._observations: list[Observation] = [observation]
        self._actions: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._discounts: list[float] = []
        self._infos: list[Mapping[Any, Any]] = []
        self._success, self._terminated, self._truncated = UNKNOWN, False, False
        self._seed, self._mission, self._reset_info = seed, mission, reset_info
        self._has_last = True
        self.notes: list[str] = []

    def __len__(self) -> int:
        """Steps so far."""
        return len(self._actions)

    def add(self, action: Shaped[np.ndarray, "..."], transition: Transition) -> None:
        """One action and what followed it."""
        self.add_step(
            action,
            transition.observation,
            transition.reward,
            transition.terminated,
            transition.truncated,
            transition.discount,
            transition.success,
            transition.info,
        )

    def add_step(
        self,
        action: Shaped[np.ndarray, "..."],
        observation: Observation,
        reward: float,
        terminated: bool,
        truncated: bool,
        discount: float = 1.0,
        success: int = UNKNOWN,
        info: Mapping[Any, Any] = NO_INFOS,
    ) -> None:
        """As `add`, with the parts of a transition one by one: to make that takes as long again."""
        self._observations.append(observation)
        self._actions.append(action)
        self._rewards.append(reward)
        self._discounts.append(0.0 if terminated else discount)
        self._infos.append(info)
        self._terminated, self._truncated = terminated, truncated
        if success > self._success:
            self._success = success

    def extend(
        self,
        actions: Sequence[Shaped[np.ndarray, "..."]],
        observations: Sequence[Observation],
        rewards: Sequence[float],
        infos: Sequence[Mapping[Any, Any]],
        terminated: bool = False,
        truncated: bool = False,
    ) -> None:
        """Several steps, the last of which may have ended it, with discount 1 until then; nobody says whether they are
        a success.
        """
        self._observations += observations
        self._actions += actions
        self._rewards += rewards
        self._discounts += [1.0] * len(actions)
        self._infos += infos
        self._terminated, self._truncated = terminated, truncated
        if terminated:
            self._discounts[-1] = 0.0

    def steps_from(self, first: int) -> Iterator[tuple[int, float, Observation]]:
        """The number, reward and next observation of each step from `first` on."""
        return zip(count(first), self._rewards[first:], self._observations[first + 1 :], strict=False)

    @property
    def has_ended(self) -> bool:
        """Whether the last transition says so."""
        return self._terminated or self._truncated

    def lose_last_observation(self) -> None:
        """The last observation is not what it stands for: zeros are stored, and that it is not there."""
        self._has_last = False

    def build_plain(self) -> PlainEpisode | None:
        """The episode so far as a plain one, sooner made. None where it is none, or `build` may refuse it."""
        more = self._mission or self._reset_info or any(self._infos) or self._success != UNKNOWN
        if more or not (self.has_ended and self._has_last and self._is_undiscounted):
            return None
        action, seen = self._actions[0], self._observations[0]
        if not isinstance(seen, np.ndarray) or (rows := plain_rows(action[np.newaxis], seen[np.newaxis])) is None:
            return None  # before pictures are put together for nothing
        observations, actions = alike_arrays(self._observations), alike_arrays(self._actions)
        if observations is None or actions is None:
            return None
        rewards = np.array(self._rewards, np.float64)
        return plain_episode(rows, actions, observations, rewards, self._terminated, self._truncated, self._seed)

    @property
    def _is_undiscounted(self) -> bool:
        """Whether all discounts are 1, but for that of the end."""
        return self._discounts.count(1.0) == len(self._discounts) - self._terminated

    def build(self, unfinished: str = "budget") -> Episode:
        """The episode so far, which has at least one step.

        `end_reason` is `terminated` or `time_limit` as the last transition says; where it says neither, it is
        `unfinished`, and the episode counts as truncated; but not for `source`: then nobody knows why it ended.
        """
        infos = stack_infos(self._reset_info, self._infos)
        steps = {
            **_stack_observations(self._observations, self._has_last),
            "action": stack_alike([*self._actions, np.zeros_like(self._actions[0])]),
            "reward": np.array([*self._rewards, 0.0], np.float64),
            "discount": np.array([*self._discounts, 0.0], np.float64),
        }
        return self._episode(steps, infos, unfinished)

    def build_uniform(self, steps: UniformSteps) -> Episode:
        """The episode that has ended, and whose steps all are in `steps`; none was added. As `extend` and `build`."""
        infos = stack_info_columns(self._reset_info, steps.infos())
        self._terminated, self._truncated = steps.ended
        discount = np.ones(len(steps) + 1, np.float64)
        discount[-1] = 0.0
        if self._terminated:
            discount[-2] = 0.0
        arrays = {
            "observation": steps.observations(np.asarray(self._observations[0])),
            "action": steps.actions(),
            "reward": steps.rewards(),
            "discount": discount,
        }
        return self._episode(arrays, infos, "budget")

    def _episode(
        self, steps: Mapping[str, Shaped[np.ndarray, "rows ..."]], infos: StackedInfos, unfinished: str
    ) -> Episode:
        self.notes = infos.notes
        return Episode(
            {**steps, **infos.steps},
            seed=self._seed,
            terminated=self._terminated,
            truncated=self._truncated or not (self._terminated or unfinished == "source"),
            success=self._success,
            mission=self._mission,
            end_reason=self._end_reason(unfinished),
            has_final_observation=self._has_last,
            reset_info=infos.reset,
            info_texts=infos.texts,
            reset_texts=infos.reset_texts,
        )

    def _end_reason(self, unfinished: str) -> str:
        if self._terminated:
            return "terminated"
        return "time_limit" if self._truncated else unfinished


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
