"""Permutations and draws that are computed number by number: from a key, in no memory.

A permutation is a Feistel network of random functions (Luby and Rackoff 1988) over the next power of two; what falls
outside goes through it again (cycle walking, Black and Rogaway 2002), less than twice on average.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from pipeline.machine.compiled import compiled

ROUNDS = 8
"""An even number; four random functions of long sides are hard to tell from chance, short sides need more."""

LEAST_BITS = 6
"""Of the network: below, its permutations are visibly unlike chance (`tests/pipeline/views/test_permutation.py`)."""

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def seed_key(seed: int, *stream: int) -> UInt64[np.ndarray, "2"]:
    """128 bits that follow from a seed, any whole number from 0 on; others for each stream of draws."""
    return np.random.SeedSequence(seed, spawn_key=stream).generate_state(2, np.uint64)


def permuted(
    numbers: Int64[np.ndarray, " n"],
    count: int,
    key: UInt64[np.ndarray, "2"],
    length: int | None = None,
    stride: int = 1,
    first: int = 0,
) -> Int64[np.ndarray, " n"]:
    """Numbers from 0 on -> their places below `count`, which is at least 1.

    Number `length * e + i` is the place of `first + stride * i` in permutation e; by itself `length` is `count`, and
    each of these comes once among `count` numbers.

    >>> sorted(permuted(np.arange(10, 20), 10, seed_key(seed=0)).tolist()) == list(range(10))
    True
    """
    out = np.empty(len(numbers), np.int64)
    bits = max(LEAST_BITS, (count - 1).bit_length())
    _permute(
        np.ascontiguousarray(numbers), length or count, stride, first, count, key, bits // 2, bits - bits // 2, out
    )
    return out


def drawn_places(
    numbers: Int64[np.ndarray, " n"],
    cumulative: Float64[np.ndarray, " episodes"],
    ends: Int64[np.ndarray, " episodes"],
    key: UInt64[np.ndarray, "2"],
) -> Int64[np.ndarray, " n"]:
    """Numbers -> places: of each an episode, in proportion to its weight, then one of its places.

    cumulative: weights up to each episode, rising to more than 0 at the last; no episode without places has weight.
    ends: places up to each episode.
    """
    out = np.empty(len(numbers), np.int64)
    _draw(np.ascontiguousarray(numbers), cumulative, ends, key, out)
    return out


def uniform_draws(numbers: Int64[np.ndarray, " n"], key: UInt64[np.ndarray, "2"]) -> Float64[np.ndarray, " n"]:
    """A number in [0, 1) for each number, which follows from it and the key alone."""
    out = np.empty(len(numbers))
    _draw_uniform(np.ascontiguousarray(numbers), key, out)
    return out


@compiled()
def _mixed(value: np.uint64) -> np.uint64:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): each bit depends on all."""
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    return value ^ (value >> np.uint64(31))


@compiled()
def _permute(
    numbers: Int64[np.ndarray, " n"],
    length: int,
    stride: int,
    first: int,
    count: int,
    key: UInt64[np.ndarray, "2"],
    left_bits: int,
    right_bits: int,
    out: Int64[np.ndarray, " n"],
) -> None:
    left_mask = np.uint64((1 << left_bits) - 1)
    right_mask = np.uint64((1 << right_bits) - 1)
    shift, stop = np.uint64(right_bits), np.uint64(count)
    keys = np.zeros(ROUNDS, np.uint64)
    known = -1
    for i in range(len(numbers)):
        epoch = numbers[i] // length
        if epoch != known:  # keys are made once for the numbers of an epoch that follow one another
            known = epoch
            state = _mixed(key[0] + np.uint64(epoch) * _SPREAD) ^ key[1]
            for step in range(ROUNDS):
                state += _SPREAD
                keys[step] = _mixed(state)
        value = np.uint64((numbers[i] - epoch * length) * stride + first)
        while True:
            left, right = value >> shift, value & right_mask
            for step in range(0, ROUNDS, 2):
                left ^= _mixed(right + keys[step]) & left_mask
                right ^= _mixed(left + keys[step + 1]) & right_mask
            value = (left << shift) | right
            if value < stop:
                break
        out[i] = np.int64(value)


@compiled()
def _share(state: np.uint64) -> np.float64:
    """A number in [0, 1) of a state, of which each bit matters."""
    return np.float64(_mixed(state) >> np.uint64(11)) * 2.0**-53


@compiled()
def _draw_uniform(
    numbers: Int64[np.ndarray, " n"], key: UInt64[np.ndarray, "2"], out: Float64[np.ndarray, " n"]
) -> None:
    for i in range(len(numbers)):
        out[i] = _share((_mixed(key[0] + np.uint64(numbers[i]) * _SPREAD) ^ key[1]) + _SPREAD)


@compiled()
def _draw(
    numbers: Int64[np.ndarray, " n"],
    cumulative: Float64[np.ndarray, " episodes"],
    ends: Int64[np.ndarray, " episodes"],
    key: UInt64[np.ndarray, "2"],
    out: Int64[np.ndarray, " n"],
) -> None:
    total = cumulative[-1]
    for i in range(len(numbers)):
        state = _mixed(key[0] + np.uint64(numbers[i]) * _SPREAD) ^ key[1]
        chosen = _share(state + _SPREAD) * total
        low, high = 0, len(cumulative) - 1
        while low < high:  # the first episode whose cumulative weight is more than what was drawn
            middle = (low + high) // 2
            if cumulative[middle] > chosen:
                high = middle
            else:
                low = middle + 1
        # By rounding, what was drawn may lie beyond the last weight: then the last episode that has one is it.
        while low > 0 and cumulative[low] == cumulative[low - 1]:
            low -= 1
        begin = ends[low - 1] if low > 0 else 0
        share = _share(state + _SPREAD + _SPREAD)
        out[i] = begin + min(np.int64(share * (ends[low] - begin)), ends[low] - begin - 1)
