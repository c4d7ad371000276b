"""An episode in the making: observations, actions and what followed, until it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.episode import INFO, PRESENT, UNKNOWN, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.exact import one_array
from pipeline.interfaces import Observation, Transition
from pipeline.keys import SHORTENED, flattened, key_names
from pipeline.observation import observation_arrays


class EpisodeBuilder:
    """Collects the steps of one episode. Keeps the arrays it is given, so the caller must not write into them.

    Attributes:
        notes: after `build`, what is to be told of infos: those that are not stored, and why; names that are shortened.
    """

    def __init__(self, observation: Observation, seed: int = UNKNOWN, mission: str = "") -> None:
        self._observations: list[Observation] = [observation]
        self._actions: list[np.ndarray] = []
        self._transitions: list[Transition] = []
        self._seed, self._mission = seed, mission
        self.notes: list[str] = []

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
        infos, self.notes = _stack_infos([each.info for each in self._transitions])
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
    stacked = {}
    for name in rows[0]:
        array = one_array([row[name] for row in rows])
        if array is None:
            kinds = " and ".join(dict.fromkeys(f"{row[name].dtype}{list(row[name].shape)}" for row in rows))
            raise InvalidInput(
                f"{name} must hold numbers of one shape, in a type that has all of them; it is {kinds}. A text belongs "
                f"into the mission."
            )
        stacked[name] = array
    return stacked


def _stack_infos(infos: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Shaped[np.ndarray, "rows ..."]], list[str]]:
    """`info/<key>`, T+1 rows each with zeros in the last one, and what is to be told of the others.

    A key that only some steps have is zero at the others, and has a mask, `info_present/<key>`.
    """
    flat = [dict(flattened(info)) for info in infos]
    paths = list(dict.fromkeys(keys for info in flat for keys in info))
    names = key_names(paths)
    arrays: dict[str, np.ndarray] = {}
    notes = []
    for keys in paths:
        values = [info[keys] for info in flat if keys in info]
        key, name, known = "/".join(map(str, keys)), names.get(keys), one_array(values)
        if name is None or known is None or known.dtype.kind == "c":
            why = "its key has no name" if name is None else "it holds no numbers, or not of one shape and type"
            notes.append(f"the info {key} is not stored: {why}")
            continue
        if SHORTENED in name:
            notes.append(f"the info {key} is stored as {INFO}{name}, because its name is too long")
        column = np.zeros((len(infos) + 1, *known.shape[1:]), known.dtype)
        if len(values) == len(flat):
            column[:-1] = known
        else:
            present = np.asarray([keys in info for info in flat])
            column[:-1][present] = known
            arrays[f"{PRESENT}{name}"] = with_last_row(name, present)
        arrays[f"{INFO}{name}"] = column
    return arrays, notes
