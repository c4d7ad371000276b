"""An episode in the making: observations, actions and what followed, until it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np
from jaxtyping import Shaped

from pipeline.episode import INFO, PRESENT, UNKNOWN, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.interfaces import Observation, Transition
from pipeline.observation import observation_arrays


class EpisodeBuilder:
    """Collects the steps of one episode. Keeps the arrays it is given, so the caller must not write into them.

    Attributes:
        left_out: after `build`, keys of infos that are neither numbers nor arrays of one shape, and are not stored.
    """

    def __init__(self, observation: Observation, seed: int = UNKNOWN, mission: str = "") -> None:
        self._observations: list[Observation] = [observation]
        self._actions: list[np.ndarray] = []
        self._transitions: list[Transition] = []
        self._seed, self._mission = seed, mission
        self.left_out: list[str] = []

    def __len__(self) -> int:
        """Steps so far."""
        return len(self._transitions)

    def add(self, action: Shaped[np.ndarray, "..."], transition: Transition) -> None:
        """One action and what followed it."""
        self._observations.append(transition.observation)
        self._actions.append(action)
        self._transitions.append(transition)

    def build(self, unfinished: str = "budget") -> Episode:
        """The episode so far, which has at least one step.

        `end_reason` is `terminated` or `time_limit` as the last transition says; where it says neither, the episode was
        cut off: it counts as truncated, for the reason `unfinished`.
        """
        last = self._transitions[-1]
        discounts = [0.0 if each.terminated else float(each.discount) for each in self._transitions]
        rewards = [each.reward for each in self._transitions]
        infos, self.left_out = _stack_infos([each.info for each in self._transitions])
        steps = {
            **_stack_observations(self._observations),
            "action": with_last_row("action", np.stack(self._actions)),
            "reward": with_last_row("reward", np.asarray(rewards, np.float64)),
            "discount": with_last_row("discount", np.asarray(discounts, np.float64)),
            **infos,
        }
        return Episode(
            steps,
            seed=self._seed,
            terminated=last.terminated,
            truncated=last.truncated or not last.terminated,
            success=max(each.success for each in self._transitions),
            mission=self._mission,
            end_reason=_end_reason(last, unfinished),
        )


def _end_reason(last: Transition, unfinished: str) -> str:
    if last.terminated:
        return "terminated"
    return "time_limit" if last.truncated else unfinished


def _stack_observations(observations: Sequence[Observation]) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    """`observation`, or `observation/<key>` for each array of a nested one; T+1 rows each."""
    rows = [observation_arrays(each, "observation") for each in observations]
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    for name, array in stacked.items():
        if array.dtype.kind not in "biufc":
            raise InvalidInput(f"{name} must hold numbers, it is {array.dtype}; a text belongs into the mission.")
    return stacked


def _stack_infos(infos: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Shaped[np.ndarray, "rows ..."]], list[str]]:
    """`info/<key>`, T+1 rows each with zeros in the last one, and the keys that no array can hold.

    A key that only some steps have is zero at the others, and has a mask, `info_present/<key>`.
    """
    flat = [dict(_flattened(info)) for info in infos]
    arrays: dict[str, np.ndarray] = {}
    left_out = []
    for key in dict.fromkeys(key for info in flat for key in info):
        values = [info[key] for info in flat if key in info]
        known = _stacked(values)
        if known is None:
            left_out.append(key)
            continue
        column = np.zeros((len(infos) + 1, *known.shape[1:]), known.dtype)
        if len(values) == len(flat):
            column[:-1] = known
        else:
            present = np.asarray([key in info for info in flat])
            column[:-1][present] = known
            arrays[f"{PRESENT}{key}"] = with_last_row(key, present)
        arrays[f"{INFO}{key}"] = column
    return arrays, left_out


def _stacked(values: list[Any]) -> Shaped[np.ndarray, "n ..."] | None:
    """Numbers or arrays of one shape as one array; None for anything else."""
    if len(set(map(type, values))) == 1 and isinstance(values[0], bool | int | float | np.number | np.bool_):
        column = np.asarray(values)  # three times faster than one by one
        return column if column.dtype.kind in "biuf" else None
    each = [np.asarray(value) for value in values]
    if any(value.dtype.kind not in "biuf" or value.shape != each[0].shape for value in each):
        return None
    return np.stack(each)


@lru_cache(maxsize=4096)
def _written(key: str) -> str:
    return quote(key, safe=" ")


def _flattened(info: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested infos under names joined by `/`; what a name of an array may not hold is written as in an address."""
    for key, value in info.items():
        name = before + _written(str(key))
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{name}/")
        elif name.split("/")[-1] not in ("", ".", ".."):
            yield name, value
