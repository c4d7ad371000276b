"""Seeds that are unknown, or that several different episodes of a dataset share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Int64, UInt8, UInt64

from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.findings import Finding
from pipeline.doctor.prints import repeated
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import UNKNOWN
from pipeline.wording import how_many

SHOWN = 5
"""Seeds that are named."""


class SeedsCheck(Check):
    """A check of the seeds of a dataset; it keeps 16 bytes of each episode."""

    name = "seeds"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._where, self._stitched = subject.where, subject.stitched
        self._seeds: list[Int64[np.ndarray, " n"]] = []
        self._contents: list[UInt64[np.ndarray, " n"]] = []

    def see(self, block: EpisodeBlock) -> None:
        """Learn the seeds of a block."""
        self._seeds.append(block.once("seed"))
        self._contents.append(_short(block.once("digest")))

    def findings(self) -> Iterator[Finding]:
        """Unknown seeds first."""
        if self._seeds:
            yield from seeds_in(
                self._where, np.concatenate(self._seeds), np.concatenate(self._contents), self._stitched
            )


def seeds_in(
    where: str, seeds: Int64[np.ndarray, " n"], contents: UInt64[np.ndarray, " n"], stitched: bool = False
) -> Iterator[Finding]:
    """Unknown and repeated seeds.

    Args:
        where: the dataset.
        seeds: of its episodes.
        contents: what tells the episodes apart; copies of one episode are no different ones.
        stitched: it joins datasets of several policies, which may have played the same seeds.
    """
    missing = np.flatnonzero(seeds == UNKNOWN)
    if len(missing):
        yield _unknown(where, missing, len(seeds))
    several = repeated(seeds)
    several = several[seeds[several] != UNKNOWN]
    pairs = np.unique(np.stack([seeds[several].view(np.uint64), contents[several]], axis=1), axis=0)
    values, counts = np.unique(pairs[:, 0].view(np.int64), return_counts=True)
    if (counts > 1).any():
        yield _repeated(where, seeds, values[counts > 1], counts[counts > 1], stitched)


def _unknown(where: str, missing: Int[np.ndarray, " k"], total: int) -> Finding:
    every = len(missing) == total
    return Finding(
        "unknown_seeds",
        "note" if every else "warning",
        where,
        len(missing),
        "No episode has a seed." if every else f"{how_many(len(missing), 'episodes')} of {total:,} have no seed.",
        "Nobody can play such an episode again, and a split by seed cannot place it.",
        examples=() if every else tuple(f"episode {number}" for number in missing[:SHOWN].tolist()),
        numbers=(("share", len(missing) / total),),
    )


def _repeated(
    where: str,
    seeds: Int64[np.ndarray, " n"],
    values: Int64[np.ndarray, " k"],
    counts: Int[np.ndarray, " k"],
    stitched: bool,
) -> Finding:
    number = int(counts.sum())
    return Finding(
        "repeated_seeds",
        "note" if stitched else "warning",
        where,
        number,
        f"{how_many(number, 'episodes')} share {how_many(len(values), 'seeds')}, and none is a copy of another"
        + (", as datasets of several policies that are stitched together may." if stitched else "."),
        "They are no independent samples of the task; split by seed, so that no start is on both sides.",
        examples=tuple(_episodes_of(seeds, seed) for seed in values[:SHOWN].tolist()),
        numbers=(("seeds", float(len(values))),),
    )


def _episodes_of(seeds: Int64[np.ndarray, " n"], seed: int) -> str:
    numbers = np.flatnonzero(seeds == seed)
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"seed {seed}: episodes {', '.join(map(str, numbers[:SHOWN].tolist()))}{more}"


def _short(digests: UInt8[np.ndarray, "n 32"]) -> UInt64[np.ndarray, " n"]:
    """The first 8 bytes: of a million episodes two are equal by chance once in 30 million times."""
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64).reshape(-1)
