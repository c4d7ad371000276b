"""Seeds that follow from (seed, domain, task, episode index) and from nothing else."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Int64

from pipeline.digest import short_hash


def episode_seed(seed: int, domain: str, task: str, index: int) -> int:
    """The environment seed of one episode, in [0, 2**31): every simulator accepts such a number."""
    words = np.random.SeedSequence(_entropy(seed, domain, task, index)).generate_state(1, np.uint32)
    return int(words[0] >> 1)


def episode_rng(seed: int, domain: str, task: str, index: int) -> np.random.Generator:
    """The generator of a policy's draws in one episode; independent of the environment's seed."""
    child = np.random.SeedSequence(_entropy(seed, domain, task, index), spawn_key=(0,))  # as `spawn` makes it
    return np.random.default_rng(child)


def _entropy(seed: int, domain: str, task: str, index: int) -> list[int]:
    name = _number_of(f"{domain}/{task}")
    return [seed, name & 0xFFFFFFFF, name >> 32, index]


@lru_cache
def _number_of(name: str) -> int:
    return int(short_hash(name), 16)


def shuffled(count: int, seed: int) -> Int64[np.ndarray, " count"]:
    """The numbers below `count` in an order that follows from the seed, in every version of numpy.

    Permutations of a generator may change with the version; the raw numbers of its bits do not.
    """
    raw = np.random.default_rng(np.random.SeedSequence([seed, count])).bit_generator.random_raw(count)
    return np.argsort(raw, kind="stable")
