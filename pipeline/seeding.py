"""Seeds that follow from (seed, domain, task, episode index) and from nothing else."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Int64, UInt32

from pipeline.digest import short_hash


def episode_seed(seed: int, domain: str, task: str, index: int) -> int:
    """The environment seed of one episode, in [0, 2**31): every simulator accepts such a number."""
    words = np.random.SeedSequence(_entropy(seed, domain, task, index)).generate_state(1, np.uint32)
    return int(words[0] >> 1)


def episode_rng(seed: int, domain: str, task: str, index: int) -> np.random.Generator:
    """The generator of a policy's draws in one episode; independent of the environment's seed."""
    child = np.random.SeedSequence(_entropy(seed, domain, task, index), spawn_key=(0,))  # as `spawn` makes it
    return np.random.Generator(np.random.PCG64(child))  # as `default_rng` makes it


@lru_cache(maxsize=8)  # both generators of an episode ask for it
def _entropy(seed: int, domain: str, task: str, index: int) -> UInt32[np.ndarray, "4"] | list[int]:
    """What NumPy would make of the list itself, in three times the time; it cuts larger numbers into words."""
    name = _number_of(f"{domain}/{task}")
    words = [seed, name & 0xFFFFFFFF, name >> 32, index]
    return np.array(words, np.uint32) if max(words) < 2**32 else words


@lru_cache
def _number_of(name: str) -> int:
    return int(short_hash(name), 16)


def shuffled(count: int, seed: int) -> Int64[np.ndarray, " count"]:
    """The numbers below `count` in an order that follows from the seed, in every version of numpy.

    Permutations of a generator may change with the version; the raw numbers of its bits do not.
    """
    raw = np.random.default_rng(np.random.SeedSequence([seed, count])).bit_generator.random_raw(count)
    return np.argsort(raw, kind="stable")
