"""Which checkpoints of a run are read, and in which order."""

from __future__ import annotations

import random
from collections.abc import Sequence

QUALITIES = ("random", "mixed", "expert")

UPSTREAM_SLICES = 50
"""LRAM's slices 0..49 are the files 1..50: it never reads checkpoint 0."""


def chronological_numbers(present: Sequence[int], quality: str, num_slices: int | None, seed: int) -> list[int]:
    """Of the checkpoints that are there: all in time order, or `num_slices` of them.

    `random` takes the first, when the agent knew least, `expert` the last, newest first, `mixed` a draw by `seed`.
    """
    numbers = sorted(present)
    if num_slices is None or num_slices >= len(numbers):
        return numbers
    if quality == "random":
        return numbers[:num_slices]
    if quality == "expert":
        return numbers[::-1][:num_slices]
    return random.Random(seed).sample(numbers, num_slices)


def upstream_numbers(quality: str, num_slices: int | None) -> list[int]:
    """The files that LRAM (src/data/atari/download_atari_datasets.py, `infer_slice_indices`) asks for, in its order."""
    slices = list(range(UPSTREAM_SLICES))
    if num_slices is not None and num_slices < UPSTREAM_SLICES:
        if quality == "random":
            slices = slices[:num_slices]
        elif quality == "expert":
            slices = slices[::-1][:num_slices]
        else:
            slices = random.Random(0).sample(slices, num_slices)
    return [index + 1 for index in slices]
