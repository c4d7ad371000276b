"""The searched vectors on a torch device, each different one once: `pipeline.search.pool` in torch.

All of it is made there, so a search on a GPU needs torch and numpy alone, and the processor only copies.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from jaxtyping import Float32, Int64

from pipeline.search.device_copies import sent

BLOCK = 1 << 24  # values that are widened to 64 bits at once


@dataclass(frozen=True)
class DevicePool:
    """Distinct vectors in the order of their first rows.

    vectors: (u, d) float32, no two equal (0.0 and -0.0 count as equal); for the cosine of length one or zero.
    members: (n,) int64, the rows of the keys that hold vector 0, ascending, then those of vector 1, and so on.
    starts: (u + 1,) int64; vector v is held by members[starts[v] : starts[v + 1]].
    cosine: whether the ranking is by inner product, and not by squared distance.
    """

    vectors: torch.Tensor
    members: torch.Tensor
    starts: torch.Tensor
    cosine: bool

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def rows(self) -> int:
        """Keys, counting equal ones."""
        return len(self.members)

    @property
    def plain(self) -> bool:
        """Whether no two keys are equal, so that vector v is row v."""
        return len(self) == self.rows

    @property
    def device(self) -> torch.device:
        return self.vectors.device

    @functools.cached_property
    def firsts(self) -> torch.Tensor:
        """(u,) the first row of each vector; ascends."""
        return self.members if self.plain else self.members[self.starts[:-1]]

    @functools.cached_property
    def lasts(self) -> torch.Tensor:
        """(u,) the last row of each vector."""
        return self.members if self.plain else self.members[self.starts[1:] - 1]

    @functools.cached_property
    def held(self) -> torch.Tensor:
        """(n,) vector * n + row of the members; ascends, so the rows of a vector are found by bisection."""
        owners = torch.repeat_interleave(self.starts.diff())
        return owners * self.rows + self.members

    @functools.cached_property
    def _firsts_here(self) -> Int64[np.ndarray, "u"]:
        return self.firsts.cpu().numpy()

    def spans(self, ranges: Int64[np.ndarray, "q 2"]) -> Int64[np.ndarray, "q 2"]:
        """For ranges of rows (q, 2), the ranges of vectors whose first row lies inside.

        A range hides a vector when its first and its last row lie inside.
        """
        return ranges if self.plain else np.searchsorted(self._firsts_here, ranges)

    def hidden(self, numbers: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
        """Which of the vectors `numbers`, (w,) or (m, w), have no row outside the excluded rows `bounds` (m, 2)."""
        return (self.firsts[numbers] >= bounds[:, :1]) & (self.lasts[numbers] < bounds[:, 1:])


def device_pool(keys: Float32[np.ndarray, "n d"], cosine: bool, device: torch.device) -> DevicePool:
    """Keys (n, d), n >= 1, sent to the device; scaled to length one for the cosine."""
    vectors = sent(keys, device)
    if cosine:
        vectors = unit_rows(vectors)
    numbers = torch.arange(len(keys) + 1, device=device)
    order, fresh = next(found for seed in count() if (found := _runs(vectors, seed)) is not None)
    if bool(fresh.all()):
        return DevicePool(vectors, numbers[:-1], numbers, cosine)
    heads = order[fresh]  # the first row of each run, as equal hashes are in the order of rows
    firsts, places = heads.sort()
    ranks = torch.empty_like(places)
    ranks[places] = numbers[: len(places)]
    owners = torch.empty_like(order)
    owners[order] = ranks[fresh.cumsum(0) - 1]
    owners, members = owners.sort(stable=True)
    starts = torch.searchsorted(owners, numbers[: len(firsts) + 1])
    return DevicePool(vectors[firsts], members, starts, cosine)


def unit_rows(vectors: torch.Tensor) -> torch.Tensor:
    """Each row (n, d) divided by its length; a zero row stays zero.

    The length is the root of the sum of squares, added in order in float64, each operation a kernel of its own; the
    quotient is rounded once to float32.
    """
    units = torch.zeros_like(vectors)
    for rows in _blocks(vectors):
        wide = vectors[rows].double()
        total = torch.zeros_like(wide[:, 0])
        for column in wide.T.contiguous():
            total += column.square()
        some = total > 0
        units[rows] = (wide / torch.where(some, total.sqrt(), 1.0)[:, None]).float()
    return units


def _runs(vectors: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Row numbers by (hash, row), and which of them begin a run of equal vectors; None where hashes of others agree."""
    hashes, order = _hashes(vectors, seed).sort(stable=True)
    again = hashes[1:] == hashes[:-1]
    places = again.nonzero().squeeze(1)
    for some in torch.split(places, max(1, BLOCK // vectors.shape[1])):
        if bool((vectors[order[some]] != vectors[order[some + 1]]).any()):
            return None
    return order, torch.cat([again.new_ones(1), ~again])


def _hashes(vectors: torch.Tensor, seed: int) -> torch.Tensor:
    """(n,) int64: the sum of each row's mixed words times odd numbers drawn with the seed, modulo 2^64."""
    rng = np.random.default_rng(seed)
    first, *rest = (2 * rng.integers(-(2**62), 2**62, vectors.shape[1] + 1) + 1).tolist()
    factors = torch.tensor(rest, device=vectors.device)
    hashes = torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)
    for rows in _blocks(vectors):
        words = (vectors[rows] + 0.0).view(torch.int32).long()  # -0.0 equals 0.0
        words *= first
        words ^= words >> 29  # what the product moved up comes down again
        words *= factors
        hashes[rows] = words.sum(dim=1)
    return hashes


def _blocks(vectors: torch.Tensor) -> Iterator[slice]:
    """Consecutive rows, some BLOCK values at a time."""
    step = max(1, BLOCK // vectors.shape[1])
    return (slice(start, start + step) for start in range(0, len(vectors), step))
