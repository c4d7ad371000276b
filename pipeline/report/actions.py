"""Which actions were taken: how often each by its name, or the numbers of each dimension."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from pipeline.report.ranges import Range, range_of
from pipeline.report.tallies import Blocks, Tally, tally_columns

MOST_CHOICES = 40
"""Different discrete actions that get a bar each; more are shown as a histogram of their numbers."""
MOST_DIMENSIONS = 16
"""Up to this many dimensions get a histogram each; with more, a table lists their ranges."""
DIMENSION_BINS = 24


@dataclass(frozen=True)
class Choice:
    """A discrete action: `name` is what the source calls it, or its number."""

    name: str
    count: int


@dataclass(frozen=True)
class Actions:
    """The actions of all states. One of `choices`, `dimensions` and `ranges` is there.

    Attributes:
        dtype, shape: of one action.
        named: the choices have names.
        choices: of discrete actions, in the order of their numbers; those with a name that were never taken, too.
        dimensions: a histogram of each number of an action.
        ranges: the range of each number of an action, where these are many.
    """

    dtype: str
    shape: tuple[int, ...]
    named: bool
    choices: tuple[Choice, ...]
    dimensions: tuple[Tally, ...]
    ranges: tuple[Range, ...]


def actions_of(shape: tuple[int, ...], dtype: np.dtype, blocks: Blocks, names: Mapping[int, str]) -> Actions:
    """Count actions of this shape and dtype, given in blocks of rows; `names` are those of discrete ones."""
    size = int(np.prod(shape))
    if dtype.kind in "iub" and size == 1 and (counts := _counts(blocks, names)):
        choices = tuple(Choice(names.get(action, str(int(action))), counts[action]) for action in sorted(counts))
        return Actions(dtype.name, shape, bool(names), choices, (), ())

    def columns() -> Iterator[Shaped[np.ndarray, "n d"]]:
        return (block.reshape(len(block), size) for block in blocks())

    if size <= MOST_DIMENSIONS:
        return Actions(dtype.name, shape, False, (), tally_columns(columns, DIMENSION_BINS), ())
    whole = [range_of(str(k), (), dtype, (block[:, k] for block in columns())) for k in range(size)]
    return Actions(dtype.name, shape, False, (), (), tuple(whole))


def _counts(blocks: Blocks, names: Mapping[int, str]) -> dict[int, int]:
    """How often each action was taken; empty where there are too many different ones."""
    counts = Counter(dict.fromkeys(names, 0))
    for block in blocks():
        for action, count in zip(*np.unique(block, return_counts=True), strict=True):
            counts[action.item()] += int(count)
        if len(counts) > MOST_CHOICES:
            return {}
    return counts
