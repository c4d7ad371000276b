"""The searched vectors, each different one once, and which rows of the keys hold it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt32, UInt64

from pipeline.machine.compiled import compiled


@dataclass(frozen=True)
class DistinctVectors:
    """Distinct vectors in the order of their first rows.

    Equal keys are equally far from every query: they are scored once, and a crowd of them cannot fill a shortlist.

    vectors: (u, d) float32, no two equal (0.0 and -0.0 count as equal).
    members: (n,) int32, the rows of the keys that hold vector 0, ascending, then those of vector 1, and so on.
    starts: (u + 1,) int64; vector v is held by members[starts[v] : starts[v + 1]].
    cosine: whether the ranking is by inner product, of vectors of length one or zero, and not by squared distance.
    """

    vectors: Float32[np.ndarray, "u d"]
    members: Int32[np.ndarray, "n"]
    starts: Int64[np.ndarray, "u+1"]
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
        return len(self.vectors) == len(self.members)

    @functools.cached_property
    def firsts(self) -> Int32[np.ndarray, "u"]:
        """(u,) the first row of each vector; ascends."""
        return self.members[self.starts[:-1]]

    @functools.cached_property
    def lasts(self) -> Int32[np.ndarray, "u"]:
        """(u,) the last row of each vector."""
        return self.members[self.starts[1:] - 1]

    @functools.cached_property
    def owners(self) -> Int32[np.ndarray, "n"]:
        """(n,) the vector of each row."""
        owners = np.empty(self.rows, dtype=np.int32)
        owners[self.members] = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))
        return owners

    def spans(self, ranges: Int64[np.ndarray, "q 2"]) -> Int64[np.ndarray, "q 2"]:
        """For ranges of rows (q, 2), the ranges of vectors whose first row lies inside.

        A range hides a vector when its first and its last row lie inside.
        """
        return ranges if self.plain else np.searchsorted(self.firsts, ranges)


def distinct(vectors: Float32[np.ndarray, "n d"], cosine: bool) -> DistinctVectors:
    """Vectors (n, d), n >= 1, C-contiguous; shared with the pool when no two are equal."""
    owners, firsts = _owners(vectors)
    n, u = len(vectors), len(firsts)
    if u == n:
        return DistinctVectors(vectors, firsts, np.arange(n + 1), cosine)
    starts = np.zeros(u + 1, dtype=np.int64)
    np.cumsum(np.bincount(owners, minlength=u), out=starts[1:])
    return DistinctVectors(vectors[firsts], np.argsort(owners, kind="stable").astype(np.int32), starts, cosine)


@compiled()
def _owners(vectors: Float32[np.ndarray, "n d"]) -> tuple[Int32[np.ndarray, "n"], Int32[np.ndarray, "u"]]:
    """The number of each row's vector, and the first row of each vector; a hash table with open addresses."""
    n, d = vectors.shape
    size = 1
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, dtype=np.int32)
    owners = np.empty(n, dtype=np.int32)
    firsts = np.empty(n, dtype=np.int32)
    hashes = _hashes(vectors.view(np.uint32))
    found = 0
    for row in range(n):
        slot = np.int64(hashes[row] >> np.uint64(32)) & (size - 1)
        while True:
            owner = table[slot]
            if owner < 0:
                table[slot] = found
                firsts[found] = row
                owners[row] = found
                found += 1
                break
            first = firsts[owner]
            same = 0
            while same < d and vectors[first, same] == vectors[row, same]:
                same += 1
            if same == d:
                owners[row] = owner
                break
            slot = (slot + 1) & (size - 1)
    return owners, firsts[:found].copy()


@compiled()
def _hashes(bits: UInt32[np.ndarray, "n d"]) -> UInt64[np.ndarray, "n"]:
    """(n,): the sum of each row's words times fixed odd numbers, modulo 2^64; the high half is well mixed."""
    n, d = bits.shape
    factors = np.empty(d, dtype=np.uint64)
    mixed = np.uint64(1)
    for j in range(d):
        mixed = mixed * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        factors[j] = (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)
    hashes = np.empty(n, dtype=np.uint64)
    for i in range(n):
        total = np.uint64(0)
        for j in range(d):
            word = bits[i, j]
            if word == np.uint32(0x80000000):  # -0.0 equals 0.0
                word = np.uint32(0)
            total += np.uint64(word) * factors[j]
        hashes[i] = total
    return hashes
