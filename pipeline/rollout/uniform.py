"""Steps of one kind: while an episode runs, they take no array each, only bytes and numbers in one list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.infos import InfoColumn
from pipeline.keys import Keys

FACTS = 4
"""Action, observation, reward and end of a step: what comes before its infos."""

NO_INFOS: Mapping[Any, Any] = MappingProxyType({})

NUMBERS_ALONE = frozenset([float, bool, np.bool_, np.int32, np.int64, np.float32, np.float64])
"""Types whose values always are a column of one dtype; whole numbers of Python may be too large for that."""


class UniformSteps:
    """Steps that follow one another, with one array of observations each, and infos of the same keys and types.

    Attributes:
        action: the rows of the actions; `stored_as_is`, as those of the observations.
        shape, dtype: of each observation.
        keys, types: of each info and its values, in their order.
        rows: of each step the bytes of its action and of the observation after it, its reward, whether it terminated
            and whether it truncated the episode, and the values of its info. All are one list, so that a step is there
            as a whole or not at all: `rows += [action, observation, reward, (terminated, truncated), *info.values()]`.
    """

    def __init__(
        self,
        action: RowSpec,
        observation: Shaped[np.ndarray, "..."],
        keys: Iterable[str] = (),
        types: Iterable[type] = (),
    ) -> None:
        """None yet; they will be like this observation, and have such infos."""
        self.action, self.shape, self.dtype = action, observation.shape, observation.dtype
        self.keys, self.types = list(keys), list(types)
        self.rows: list[Any] = []

    def __len__(self) -> int:
        """How many steps."""
        return len(self.rows) // (FACTS + len(self.keys))

    @property
    def ended(self) -> tuple[bool, bool]:
        """Whether the last step terminated the episode, and whether it truncated it."""
        ended: tuple[bool, bool] = self._column(3)[-1]
        return ended

    def actions(self) -> Shaped[np.ndarray, "t+1 ..."]:
        """All actions, and zeros."""
        return _array([*self._column(0), bytes(self.action.nbytes)], self.action.dtype, self.action.shape)

    def observations(self, first: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "t+1 ..."]:
        """The observation before these steps, and all of theirs."""
        return _array([first.tobytes(), *self._column(1)], self.dtype, self.shape)

    def rewards(self) -> Float64[np.ndarray, "t+1"]:
        """All rewards, and zero."""
        return np.fromiter([*self._column(2), 0.0], np.float64, len(self) + 1)

    def infos(self) -> dict[Keys, InfoColumn]:
        """The values at the end of each path."""
        values = [self._column(place) for place in range(FACTS, FACTS + len(self.keys))]
        each = zip(self.keys, self.types, values, strict=True)
        return {(key,): _numbers(kind, column) for key, kind, column in each}

    def apart(self) -> tuple[list[Any], list[Any], list[float], list[Mapping[Any, Any]]]:
        """Actions, observations, rewards and infos, step by step."""
        observations = _array(self._column(1), self.dtype, self.shape)
        values = zip(*(self._column(place) for place in range(FACTS, FACTS + len(self.keys))), strict=True)
        infos: list[Mapping[Any, Any]] = [dict(zip(self.keys, each, strict=True)) for each in values]
        infos = infos or [NO_INFOS] * len(self)
        return [*self.actions()[:-1]], [observations[k, ...] for k in range(len(self))], self._column(2), infos

    def _column(self, place: int) -> list[Any]:
        return self.rows[place :: FACTS + len(self.keys)]


def _array(rows: list[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> Shaped[np.ndarray, "n ..."]:
    return np.frombuffer(bytearray().join(rows), dtype).reshape(len(rows), *shape)


def _numbers(kind: type, values: list[Any]) -> InfoColumn:
    """The values, as an array where their type says that there is one."""
    return np.fromiter(values, np.dtype(kind), len(values)) if kind in NUMBERS_ALONE else values
