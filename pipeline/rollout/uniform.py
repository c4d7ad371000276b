"""Steps of one kind: so many of them take no array each, only the bytes of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.exact import STORED_KINDS, WIDEST
from pipeline.keys import Keys


@dataclass(frozen=True)
class UniformSteps:
    """Steps that follow one another, with one array of observations each, and infos that have the same keys.

    Attributes:
        action, observation: the rows of their arrays; both are `is_uniform`.
        actions, observations: the bytes of these rows, T each; an observation came after its action.
        rewards: T.
        infos: of each key its T values.
        ended: whether the last step terminated the episode, and whether it truncated it.
    """

    action: RowSpec
    observation: RowSpec
    actions: Sequence[bytes]
    observations: Sequence[bytes]
    rewards: Sequence[float]
    infos: Mapping[str, Sequence[Any]]
    ended: tuple[bool, bool]

    def __len__(self) -> int:
        """T."""
        return len(self.rewards)

    def action_rows(self) -> Shaped[np.ndarray, "t+1 ..."]:
        """All actions, and the zeros of the last row."""
        return _array([*self.actions, bytes(self.action.nbytes)], self.action)

    def observation_rows(self, first: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "t+1 ..."]:
        """The first observation of the episode, and all of these."""
        return _array([first.tobytes(), *self.observations], self.observation)

    def info_columns(self) -> dict[Keys, Sequence[Any]]:
        """The infos by the path that leads to each."""
        return {(key,): values for key, values in self.infos.items()}

    def apart(self) -> tuple[list[Any], list[Any], Sequence[float], list[Mapping[Any, Any]]]:
        """Actions, observations, rewards and infos, step by step."""
        if self.infos:
            infos: list[Mapping[Any, Any]] = [
                dict(zip(self.infos, values, strict=True)) for values in zip(*self.infos.values(), strict=True)
            ]
        else:
            infos = [{}] * len(self)
        return _each(self.actions, self.action), _each(self.observations, self.observation), self.rewards, infos


def is_uniform(row: RowSpec) -> bool:
    """Whether the bytes of such rows are what an episode stores."""
    return row.dtype.kind in STORED_KINDS and row.dtype.itemsize <= WIDEST and row.dtype.isnative


def _array(rows: Sequence[bytes], row: RowSpec) -> Shaped[np.ndarray, "n ..."]:
    return np.frombuffer(bytearray().join(rows), row.dtype).reshape(len(rows), *row.shape)


def _each(rows: Sequence[bytes], row: RowSpec) -> list[Shaped[np.ndarray, "..."]]:
    array = _array(rows, row)
    return [array[k, ...] for k in range(len(rows))]
