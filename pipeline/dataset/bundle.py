"""Bundles: episodes that follow one another and have the same arrays, as the flat arrays of a part.

Short episodes are many. A worker spills them together, and the process that packs them into parts joins arrays, and
never makes episodes of them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.dataset.columns import RowSpec, step_arrays
from pipeline.dataset.parts import ENDS, pack, says_ends, some_of, unpack
from pipeline.dataset.resets import reset_specs
from pipeline.episode import INFO_TEXTS, Episode

_INFO_ENDS = f"texts/{INFO_TEXTS}/ends"


@dataclass(frozen=True, eq=False)
class Bundle:
    """Some episodes as `pack` lays them; each has all the step arrays, and all the infos of resets.

    Attributes:
        arrays: of a part, by name; the digests in there are those that the episodes had when they were made.
    """

    arrays: dict[str, Shaped[np.ndarray, "..."]]

    @staticmethod
    def of(episodes: Sequence[Episode]) -> Bundle:
        """A bundle of episodes that are alike."""
        return Bundle(pack(episodes))

    def __len__(self) -> int:
        return len(self.arrays[ENDS])

    @property
    def lengths(self) -> Int64[np.ndarray, " n"]:
        """The states of each episode."""
        return np.diff(self.arrays[ENDS], prepend=0) - 1

    @property
    def nbytes(self) -> Int64[np.ndarray, " n"]:
        """What `Episode.nbytes` says of each."""
        of_row = sum(RowSpec.of(array).nbytes for array in step_arrays(self.arrays).values())
        sizes = (self.lengths + 1) * of_row + sum(row.nbytes for row in reset_specs(self.arrays).values())
        return sizes + np.diff(self.arrays[_INFO_ENDS], prepend=0) if _INFO_ENDS in self.arrays else sizes

    def episodes(self) -> list[Episode]:
        """The episodes themselves."""
        return unpack(self.arrays)

    def digested(self) -> list[tuple[Episode, bytes | None]]:
        """The episodes, each with its digest."""
        return [*zip(self.episodes(), map(bytes, self.arrays["episodes/digest"]), strict=True)]

    def between(self, first: int, last: int) -> Bundle:
        """Its episodes [first, last); views, not copies."""
        return self if (first, last) == (0, len(self)) else Bundle(some_of(self.arrays, first, last))


def join_packed(several: Sequence[Bundle]) -> dict[str, Shaped[np.ndarray, "..."]] | None:
    """The arrays of a part that holds the episodes of all these bundles; None where they have other arrays."""
    first = several[0].arrays
    if any(each.arrays.keys() != first.keys() for each in several):
        return None
    joined = {name: np.concatenate([each.arrays[name] for each in several]) for name in first}
    for name in filter(says_ends, first):
        ends = [each.arrays[name] for each in several]
        before = np.cumsum([0, *(each[-1] for each in ends[:-1])])
        joined[name] += np.repeat(before, [len(each) for each in ends])
    return joined
