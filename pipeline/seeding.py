"""Seeds that follow from (seed, domain, task, episode index) and from nothing else."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pipeline.digest import short_hash


def episode_seed(seed: int, domain: str, task: str, index: int) -> int:
    """The environment seed of one episode, in [0, 2**31): every simulator accepts such a number."""
    words = _sequence(seed, domain, task, index).generate_state(1, np.uint32)
    return int(words[0] >> 1)


def episode_rng(seed: int, domain: str, task: str, index: int) -> np.random.Generator:
    """The generator of a policy's draws in one episode; independent of the environment's seed."""
    return np.random.default_rng(_sequence(seed, domain, task, index).spawn(1)[0])


def _sequence(seed: int, domain: str, task: str, index: int) -> np.random.SeedSequence:
    name = int(short_hash(f"{domain}/{task}"), 16)
    return np.random.SeedSequence([seed, name & 0xFFFFFFFF, name >> 32, index])


def shuffled(count: int, seed: int) -> Int64[np.ndarray, " count"]:
    """The numbers below `count` in an order that follows from the seed, in every version of numpy.

    Permutations of a generator may change with the version; the raw numbers of its bits do not.
    """
    raw = np.random.default_rng(np.random.SeedSequence([seed, count])).bit_generator.random_raw(count)
    return np.argsort(raw, kind="stable")
