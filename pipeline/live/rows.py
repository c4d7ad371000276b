"""The last steps of all environments of a vector environment, as columns that are there before the steps come."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped

ROWS_BYTES = 2**20
"""About so many bytes of steps are kept together ..."""

FEWEST_ROWS, MOST_ROWS = 64, 1024
"""... but not fewer and not more steps than that."""


class StepRows:
    """Columns of all environments; row k holds the actions of a step, what was seen after it, and the rewards.

    Attributes:
        actions, rewards: (most, envs, ...).
        observations: one such array, or a mapping of them, nested or not.
        count: rows that are filled.
    """

    def __init__(self, actions: Shaped[np.ndarray, "envs ..."], observations: Any) -> None:
        """Empty columns for steps like this one."""
        size = actions.nbytes + sum(each.nbytes for each in _arrays(observations))
        self._most = min(max(ROWS_BYTES // max(1, size), FEWEST_ROWS), MOST_ROWS)
        self.actions, self.observations = self._columns(actions), self._columns(observations)
        self.rewards = np.empty((self._most, len(actions)), np.float64)
        self._kinds = _kind(actions), _kind(observations)
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether no row is left."""
        return self.count == self._most

    def fits(self, actions: Shaped[np.ndarray, "envs ..."], observations: Any) -> bool:
        """Whether a step is like those that are here."""
        return (_kind(actions), _kind(observations)) == self._kinds

    def add(
        self, actions: Shaped[np.ndarray, "envs ..."], observations: Any, rewards: Shaped[np.ndarray, "envs"]
    ) -> None:
        """Copy a step into the next row, where one is left."""
        row = self.count
        self.actions[row] = actions
        if type(observations) is np.ndarray:
            self.observations[row] = observations
        else:
            for column, each in zip(_arrays(self.observations), _arrays(observations), strict=True):
                column[row] = each
        self.rewards[row] = rewards
        self.count = row + 1

    def forget(self, first: int) -> None:
        """Forget the rows before `first`, of which there are at least as many as of the others."""
        rest = self.count - first
        for column in (self.actions, *_arrays(self.observations), self.rewards):
            column[:rest] = column[first : self.count]
        self.count = rest

    def of(self, env: int, first: int, last: int) -> tuple[Shaped[np.ndarray, "n ..."], Any, Float64[np.ndarray, "n"]]:
        """Views of the actions, observations and rewards of one environment in the rows [first, last)."""
        rows = slice(first, last)
        return self.actions[rows, env], _part(self.observations, (rows, env)), self.rewards[rows, env]

    def seen(self, env: int, row: int) -> Any:
        """A copy of what one environment showed in a row."""
        return _copies(_part(self.observations, (slice(row, row + 1), env)), 1)[0]

    def copied(self, env: int, first: int, last: int) -> tuple[list[Any], list[Any], list[float]]:
        """As `of`, step by step, and nothing that a later step writes over."""
        actions, observations, rewards = self.of(env, first, last)
        count = last - first
        return _copies(actions, count), _copies(observations, count), rewards.tolist()

    def _columns(self, batch: Any) -> Any:
        if isinstance(batch, dict):
            return {key: self._columns(inner) for key, inner in batch.items()}
        return np.empty((self._most, *batch.shape), batch.dtype)


def _copies(column: Any, count: int) -> list[Any]:
    if isinstance(column, dict):
        parts = {key: _copies(inner, count) for key, inner in column.items()}
        return [{key: rows[k] for key, rows in parts.items()} for k in range(count)]
    own = column.copy()
    return [own[k, ...] for k in range(count)]


def _part(column: Any, place: Any) -> Any:
    return {key: _part(inner, place) for key, inner in column.items()} if isinstance(column, dict) else column[place]


def _arrays(nested: Any) -> list[Shaped[np.ndarray, "..."]]:
    return [each for inner in nested.values() for each in _arrays(inner)] if isinstance(nested, dict) else [nested]


def _kind(batch: Any) -> tuple[Any, ...]:
    """What batches that lie in one column have in common."""
    if type(batch) is np.ndarray:
        return batch.dtype, batch.shape
    return tuple((key, _kind(inner)) for key, inner in batch.items())
