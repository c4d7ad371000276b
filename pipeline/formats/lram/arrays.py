"""The arrays of an episode as LRAM's files hold them, and as they are when read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int64, Num, Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.reader import EpisodeDataset
from pipeline.episode import Episode
from pipeline.formats.pictures import scaled
from pipeline.sources.lram import names
from pipeline.sources.lram.source import returns_to_go

BLOCK = 2**20
"""States of which actions or rewards are looked at at once."""


@dataclass(frozen=True)
class FileLayout:
    """How the rows of one dataset lie in files.

    Attributes:
        observation, action: a row as it is in the store.
        chosen: dtype of the actions in the files.
        table: what stands for each action; None: the action itself.
        side: pictures are scaled to so many pixels a side; None: they stay.
        rgb: the grey channel stands there three times.
        with_returns: the returns to go stand there.
    """

    observation: RowSpec
    action: RowSpec
    chosen: np.dtype[Any]
    table: Int64[np.ndarray, "n"] | None = None
    side: int | None = None
    rgb: bool = False
    with_returns: bool = False

    @property
    def grey(self) -> bool:
        """Whether observations are grey pictures, (h, w) uint8: files have them with a channel, (1, h, w)."""
        return is_grey_row(self.observation)

    def arrays(self, episode: Episode) -> dict[str, Shaped[np.ndarray, "..."]]:
        """What the episode's file holds, states first."""
        last = episode.length
        rewards = episode.steps["reward"][:last]
        found = {
            names.STATES: self.states(episode.steps["observation"][:last]),
            names.ACTIONS: self.actions(episode.steps["action"][:last]),
            names.REWARDS: rewards.astype(np.float32),
            names.DONES: np.asarray(episode.terminated or episode.truncated, np.float32),
        }
        if self.with_returns:
            found[names.RETURNS_TO_GO] = returns_to_go(rewards).astype(np.float32)
        return {name: np.asarray(array, order="C") for name, array in found.items()}

    def states(self, observations: Shaped[np.ndarray, "t ..."]) -> Shaped[np.ndarray, "t ..."]:
        """(T, h, w) grey pictures as (T, 1 or 3, h, w), scaled where that was asked for; all else as it is."""
        if self.side is not None:
            observations = scaled(observations, self.side, self.side)
        if not self.grey:
            return observations
        return np.repeat(observations[:, np.newaxis], 3, axis=1) if self.rgb else observations[:, np.newaxis]

    def actions(self, actions: Num[np.ndarray, "t ..."]) -> Num[np.ndarray, "t ..."]:
        """Actions by the table, in the files' dtype."""
        return (actions if self.table is None else self.table[actions]).astype(self.chosen)

    def back(self, episode: Episode) -> Episode:
        """The episode as it is read from its file, but for what no file holds."""
        steps = dict(episode.steps)
        with np.errstate(over="ignore"):
            steps["reward"] = steps["reward"].astype(np.float32).astype(np.float64)
        if self.table is not None:
            actions = self.table[steps["action"]].astype(self.action.dtype)
            actions[-1] = 0
            steps["action"] = actions
        if self.side is not None or self.rgb:
            states = self.states(steps["observation"])
            steps["observation"] = states if self.rgb else states[:, 0]
        return replace(episode, steps=steps)

    def stored(self) -> dict[str, dict[str, Any]]:
        """For `provenance.json`: a row as it is when read back."""
        shape = (self.side, self.side) if self.side is not None else self.observation.shape
        observation = RowSpec(self.observation.dtype, (3, *shape) if self.rgb else shape)
        return {"observation": _json(observation), "action": _json(self.action)}


def _json(row: RowSpec) -> dict[str, Any]:
    return {"dtype": row.dtype.name, "shape": list(row.shape)}


def is_grey_row(row: RowSpec) -> bool:
    """Whether an observation is one grey picture, (h, w) uint8."""
    return row.dtype == np.uint8 and len(row.shape) == 2


def blocks_of(dataset: EpisodeDataset, name: str) -> Iterator[Shaped[np.ndarray, "n ..."]]:
    """A step array of all states, some at a time."""
    for first in range(0, dataset.states, BLOCK):
        yield dataset.state_rows(name, first, min(first + BLOCK, dataset.states))


def joystick(parameters: Mapping[str, Any]) -> list[int] | None:
    """The place among Atari's 18 actions of each that a dataset has; None where its manifest does not say."""
    return names.joystick_places(
        parameters.get("source", {}).get("actions") or parameters.get("environment", {}).get("actions")
    )
