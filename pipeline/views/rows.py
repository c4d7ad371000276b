"""Rows of a dataset's step arrays at many places at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.reader import EpisodeDataset

RETURN_TO_GO = "return_to_go"


class RowReader:
    """Reads runs of rows of a dataset's episodes into arrays that its caller gives."""

    def __init__(self, dataset: EpisodeDataset) -> None:
        self.dataset = dataset

    @property
    def lengths(self) -> Int64[np.ndarray, " episodes"]:
        """States of each episode."""
        return self.dataset.lengths

    def names(self) -> list[str]:
        """Names of the step arrays."""
        return self.dataset.array_names()

    def spec(self, name: str) -> RowSpec:
        """The dtype and shape of one row of a step array. Raises UnknownName."""
        shape, dtype = self.dataset.spec(name)
        return RowSpec(dtype, shape)

    def read(
        self,
        name: str,
        episodes: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, "rows ..."],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """Copy rows [start, start + count) of each episode to out[at : at + count].

        The rows are counted from the first of the episode, and may reach its last, which is no state.
        """
        for episode, start, count, place in zip(
            episodes.tolist(), starts.tolist(), counts.tolist(), at.tolist(), strict=True
        ):
            out[place : place + count] = self.dataset.episode_rows(name, episode, start, start + count)

    def read_returns(
        self,
        discount: float,
        episodes: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, " rows"],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """As `read`, of the sum of discounted rewards from each state to the end of its episode."""
        for episode, start, count, place in zip(
            episodes.tolist(), starts.tolist(), counts.tolist(), at.tolist(), strict=True
        ):
            rewards = self.dataset.episode_rows("reward", episode, start, int(self.lengths[episode]))
            out[place : place + count] = discounted_returns(rewards, discount)[:count]

    def per_episode(self, name: str) -> Shaped[np.ndarray, "n ..."]:
        """A once-per-episode array over all episodes."""
        return self.dataset.per_episode(name)

    def parameters(self) -> dict[str, Any]:
        """What the dataset's manifest says of how it was made."""
        return self.dataset.artifact.manifest.parameters if self.dataset.artifact else {}


def discounted_returns(rewards: Shaped[np.ndarray, " n"], discount: float) -> Shaped[np.ndarray, " n"]:
    """(n,) rewards -> (n,) float64 sums of discount**k times the reward k steps later.

    >>> discounted_returns(np.array([1.0, 0.0, 2.0]), 0.5).tolist()
    [1.5, 1.0, 2.0]
    """
    out, later = np.empty(len(rewards)), 0.0
    for step in range(len(rewards) - 1, -1, -1):
        later = rewards[step] + discount * later
        out[step] = later
    return out
