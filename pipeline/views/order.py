"""In which order a view gives its samples: it follows from a seed, and from nothing that a machine decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Num
from numpy.typing import ArrayLike

from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import combine
from pipeline.errors import InvalidInput
from pipeline.views.permutation import drawn_places, permuted, seed_key
from pipeline.wording import check_count, how_many

RETURN = "return"
"""Weights of episodes by their return."""

TEMPERATURE = 0.1
"""Of weights by return: what Hong et al. (2023) take. A higher one comes nearer to equal weights."""


class Order:
    """Which place each sample of a view has. Numbers of samples count on through the epochs.

    Without weights each place comes once an epoch, in an order that the seed and the epoch decide; nothing as long as
    the dataset is kept for that. With weights, one of each episode, every sample is drawn anew: an episode in
    proportion to its weight, then one of its places. Both follow from the seed and the sample's number alone.

    Args:
        ends: (n,) cumulative places of the episodes.
        seed: None gives the natural order, which no weights have.
        rank, world_size: this process takes every world_size-th sample, from the rank-th on. What does not divide is
            left out, so that all have equally many and none has another's.
        weights: (n,) not negative, one of each episode.
        samples: of an epoch of all ranks together, with weights; None for as many as there are places.

    Raises InvalidInput for weights that do not fit, and where a rank would have no sample.
    """

    def __init__(
        self,
        ends: Int64[np.ndarray, " n"],
        seed: int | None,
        rank: int = 0,
        world_size: int = 1,
        weights: ArrayLike | None = None,
        samples: int | None = None,
    ) -> None:
        check_ranks(rank, world_size)
        self.ends, self.seed, self.rank, self.world_size = ends, seed, rank, world_size
        self.count = int(ends[-1]) if len(ends) else 0
        self.samples = _samples(samples, self.count, weights is not None)
        check_divided(self.samples, world_size)
        self._cumulative: Float64[np.ndarray, " n"] | None = None
        self._digest: str | None = None
        if weights is not None:
            if seed is None:
                raise InvalidInput("weights= draws samples at random, so it needs a seed, such as seed=0.")
            checked = checked_weights(weights, len(ends), "episodes")
            self._cumulative = _cumulative(checked, np.diff(ends, prepend=0))
            self._digest = combine([checked.tobytes()])
        if seed is not None:
            check_count("seed", seed, 0)
            self._key = seed_key(seed)

    @staticmethod
    def of(
        dataset: EpisodeDataset,
        ends: Int64[np.ndarray, " n"],
        *,
        seed: int | None,
        rank: int,
        world_size: int,
        weights: str | ArrayLike | None,
        samples: int | None,
    ) -> Order:
        """The order of a view of a dataset; `weights="return"` weighs its episodes by their return.

        Then a place weighs as much as `return_weights` says of its episode, so that one of many places is drawn
        oftener than one of few.
        """
        if isinstance(weights, str):
            if weights != RETURN:
                raise InvalidInput(f"weights={weights!r} is neither {RETURN!r} nor an array of a number each episode.")
            weights = return_weights(dataset.per_episode("return")) * np.diff(ends, prepend=0)
        return Order(ends, seed, rank, world_size, weights, samples)

    def __len__(self) -> int:
        return self.samples // self.world_size

    def identity(self) -> dict[str, Any]:
        """What decides the order."""
        return {
            "places": self.count, "samples": self.samples, "seed": self.seed, "weights": self._digest,
            "rank": self.rank, "world_size": self.world_size,
        }  # fmt: skip

    def places(self, numbers: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Numbers of samples -> their places, each in [0, count)."""
        length = len(self)
        if self.seed is not None and self._cumulative is None:
            return permuted(numbers, self.count, self._key, length, self.world_size, self.rank)
        epochs, within = np.divmod(numbers, length)
        among_all = within * self.world_size + self.rank
        if self._cumulative is None:
            return among_all
        return drawn_places(epochs * self.samples + among_all, self._cumulative, self.ends, self._key)


def return_weights(returns: Num[np.ndarray, " n"], temperature: float = TEMPERATURE) -> Float64[np.ndarray, " n"]:
    """(n,) returns of episodes -> (n,) weights that add up to 1: exp(G / temperature), with G from 0 to 1.

    G is the return less the least one, over how far they lie apart; where all are equal, so are the weights. Each
    step of an episode has its weight.

    >>> return_weights(np.array([0.0, 5.0, 10.0]), temperature=1).round(3).tolist()
    [0.186, 0.307, 0.506]

    Source: Hong et al. 2023, Harnessing Mixed Offline Reinforcement Learning Datasets via Trajectory Weighting
    (arXiv:2306.13085), who take a temperature of 0.1. Raises InvalidInput for returns that are not finite.
    """
    real = np.asarray(returns, np.float64)
    if not np.isfinite(real).all():
        wrong = int(np.flatnonzero(~np.isfinite(real))[0])
        raise InvalidInput(f"The return of episode {wrong} is {real[wrong]}: give weights as an array instead.")
    if not temperature > 0:
        raise InvalidInput(f"temperature={temperature} must be above 0.")
    lowest, highest = real.min(initial=np.inf), real.max(initial=-np.inf)
    scaled = (real - lowest) / (highest - lowest) if highest > lowest else np.zeros(len(real))
    weights = np.exp((scaled - 1) / temperature)
    return weights / weights.sum()


def checked_weights(weights: ArrayLike, count: int, things: str) -> Float64[np.ndarray, " n"]:
    """(count,) float64 weights of things, which are named in the plural. Raises InvalidInput for what can be none."""
    array = np.asarray(weights)
    if array.dtype.kind not in "biuf" or array.shape != (count,):
        there = f"{array.dtype}{list(array.shape)}"
        raise InvalidInput(f"weights= needs {count:,} numbers, one for each of the {things}; it is {there}.")
    real = array.astype(np.float64)
    if (wrong := np.flatnonzero(~(np.isfinite(real) & (real >= 0)))).size:
        value = real[wrong[0]]
        what = "NaN" if np.isnan(value) else "infinite" if np.isinf(value) else f"negative: {value:g}"
        raise InvalidInput(f"weights[{wrong[0]}] is {what}. Weights are numbers from 0 on.")
    if not 0 < real.sum() < np.inf:
        what = "They are all 0" if not real.any() else "Their sum is infinite"
        raise InvalidInput(f"weights= needs a sum above 0. {what}.")
    return real


def check_ranks(rank: int, world_size: int) -> None:
    """Raises InvalidInput unless 0 <= rank < world_size."""
    check_count("world_size", world_size)
    check_count("rank", rank, 0)
    if rank >= world_size:
        raise InvalidInput(f"rank={rank} is none of the ranks 0 to {world_size - 1} of world_size={world_size}.")


def check_divided(samples: int, world_size: int) -> None:
    """Raises InvalidInput where a rank would have no sample of an epoch."""
    if not samples:
        raise InvalidInput("There is nothing to view: it has no sample.")
    if samples < world_size:
        raise InvalidInput(
            f"world_size={world_size} ranks cannot share {how_many(samples, 'samples')} an epoch: each needs one."
        )


def _samples(samples: int | None, count: int, weighted: bool) -> int:
    if samples is None:
        return count
    if not weighted:
        raise InvalidInput(
            f"samples={samples} is the length of an epoch with weights=. Without weights an epoch has each place once."
        )
    check_count("samples", samples)
    return samples


def _cumulative(weights: Float64[np.ndarray, " n"], sizes: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Cumulative weights; episodes without places have none."""
    cumulative = np.cumsum(np.where(sizes > 0, weights, 0))
    if not len(cumulative) or cumulative[-1] <= 0:
        raise InvalidInput("weights= gives weight to no episode that is long enough for a sample.")
    return cumulative
