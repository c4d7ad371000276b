"""In which order a view gives its samples: it follows from a seed, and from nothing that a machine decides."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from pipeline.errors import InvalidInput
from pipeline.wording import check_count

ROUNDS = 6
"""Of the permutation: four of random functions are hard to tell from chance (Luby and Rackoff 1988)."""


class Order:
    """Which place each sample of a view has. Numbers of samples count on through the epochs.

    Without weights each place comes once an epoch, in an order that the seed and the epoch decide. With weights, one of
    each episode, every sample is drawn anew: an episode in proportion to its weight, then one of its places.

    Args:
        ends: (n,) cumulative places of the episodes.
        seed: None gives the natural order.
        rank, world_size: this process takes every world_size-th sample, from the rank-th on. What does not divide is
            left out, so that all have equally many and none has another's.
        weights: (n,) not negative, one of each episode.
        samples: of an epoch of all ranks together, with weights; None for as many as there are places.
    """

    def __init__(
        self,
        ends: Int64[np.ndarray, " n"],
        seed: int | None,
        rank: int = 0,
        world_size: int = 1,
        weights: Float64[np.ndarray, " n"] | None = None,
        samples: int | None = None,
    ) -> None:
        check_count("world_size", world_size)
        check_count("rank", rank, 0)
        if rank >= world_size:
            raise InvalidInput(f"rank={rank} is none of the ranks 0 to {world_size - 1} of world_size={world_size}.")
        self.ends, self.seed, self.rank, self.world_size = ends, seed, rank, world_size
        self.count = int(ends[-1]) if len(ends) else 0
        self.weighted = weights is not None
        self.samples = samples if self.weighted and samples is not None else self.count
        self._cumulative = np.cumsum(weights) if weights is not None else None

    def __len__(self) -> int:
        return self.samples // self.world_size

    def identity(self) -> dict[str, Any]:
        """What decides the order."""
        return {
            "places": self.count, "samples": self.samples, "seed": self.seed, "rank": self.rank,
            "world_size": self.world_size,
        }  # fmt: skip

    def places(self, numbers: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Numbers of samples -> their places, each in [0, count)."""
        epochs, within = np.divmod(numbers, len(self))
        drawn = within * self.world_size + self.rank
        if self._cumulative is not None:
            return self._weighted(epochs, drawn)
        if self.seed is None:
            return drawn
        out = np.empty_like(drawn)
        for epoch in np.unique(epochs):
            of_epoch = epochs == epoch
            out[of_epoch] = permuted(drawn[of_epoch], self.count, _key(self.seed, int(epoch)))
        return out

    def _weighted(self, epochs: Int64[np.ndarray, " n"], drawn: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        assert self._cumulative is not None
        numbers = epochs.astype(np.uint64) * np.uint64(self.samples) + drawn.astype(np.uint64)
        key = _key(self.seed or 0, 0)
        first, second = (_uniform(_mixed(numbers, np.uint64(key ^ salt))) for salt in (0x5851F42D, 0x14057B7E))
        episodes = np.searchsorted(self._cumulative, first * self._cumulative[-1], "right").clip(max=len(self.ends) - 1)
        stops = self.ends[episodes]
        sizes = stops - np.where(episodes > 0, self.ends[episodes - 1], 0)
        return stops - sizes + (second * sizes).astype(np.int64)


def permuted(numbers: Int64[np.ndarray, " n"], count: int, key: int) -> Int64[np.ndarray, " n"]:
    """Where a permutation of the numbers below `count` takes some of them; the key chooses which one.

    A Feistel network over the next power of four; what falls outside goes through it again (cycle walking).

    >>> sorted(permuted(np.arange(10), 10, key=1).tolist()) == list(range(10))
    True
    """
    half = np.uint64(max(1, (max(count - 1, 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    values = numbers.astype(np.uint64)
    outside = np.arange(len(values))
    while len(outside):
        left, right = values[outside] >> half, values[outside] & mask
        for step in range(ROUNDS):
            left, right = right, left ^ (_mixed(right, np.uint64(key + step)) & mask)
        values[outside] = left << half | right
        outside = outside[values[outside] >= np.uint64(count)]
    return values.astype(np.int64)


def _key(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(8))


def _mixed(values: Shaped[np.ndarray, " n"], salt: np.uint64) -> Shaped[np.ndarray, " n"]:
    """uint64 -> uint64: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed = (values + salt) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _uniform(values: Shaped[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """uint64 -> float64 in [0, 1)."""
    return (values >> np.uint64(11)).astype(np.float64) * 2.0**-53
