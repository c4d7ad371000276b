"""Rows at many places of zarr arrays: which chunks they lie in, and decoding each of those once, by several threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int, Int64, UInt64

from pipeline.machine.threads import available_cores, own_threads
from pipeline.storage.chunks import ChunkedRows, ChunkFile
from pipeline.storage.copying import STREAMED, addresses, copy_runs

SCRATCH = 2**20
"""Bytes in which neighbouring chunks are decoded before their rows are copied: they stay in a core's own cache."""


@dataclass(frozen=True)
class DecodingJob:
    """Neighbouring chunks of one file, and the runs of their rows that are wanted.

    Attributes:
        file: shared by the jobs of one file, so that it is opened once and closed after the last of them.
        sources: bytes from the beginning of the first chunk, in decoded chunks that lie one after the other.
        sizes: bytes of each run.
        targets: addresses.
    """

    file: ChunkFile
    chunks: Sequence[int]
    sources: UInt64[np.ndarray, " runs"]
    sizes: Int64[np.ndarray, " runs"]
    targets: UInt64[np.ndarray, " runs"]


def copy_decoded(jobs: list[DecodingJob], row_bytes: int, threads: int | None = None) -> None:
    """Decode the chunks of all jobs and copy their rows to where they are wanted. Takes the jobs from the list.

    Args:
        threads: None: this process' own (`own_threads`).
    """
    count = min(threads or own_threads(), len(jobs))
    streamed = sum(int(job.sizes.sum()) for job in jobs) >= STREAMED
    jobs.reverse()  # they are taken from its end
    others = [_pool(os.getpid()).submit(_work, jobs, row_bytes, streamed) for _ in range(count - 1)]
    try:
        _work(jobs, row_bytes, streamed)
    finally:
        begun = [other for other in others if not other.cancel()]
        wait(begun)  # afterwards nobody writes to the targets any more
    for other in begun:
        other.result()


def decoding_jobs(
    arrays: Sequence[ChunkedRows],
    which: Int[np.ndarray, " n"],
    starts: Int[np.ndarray, " n"],
    counts: Int[np.ndarray, " n"],
    targets: UInt64[np.ndarray, " n"],
    row_bytes: int,
) -> list[DecodingJob]:
    """Jobs, in the order of the files, for rows [start, start + count) of `arrays[which]`, which go to an address each.

    Each chunk is in one job, however many runs want rows of it.
    """
    chunk_rows, chunks_in_file = (
        np.array([getattr(array.layout, name) for array in arrays], np.int64)
        for name in ("chunk_rows", "chunks_in_file")
    )
    run, chunk = _pieces(which, starts, counts, chunk_rows)
    array, rows = which[run], chunk_rows[which[run]]
    begin = np.maximum(starts[run], chunk * rows)
    stop = np.minimum((starts + counts)[run], (chunk + 1) * rows)

    other_file = _changes(array) | _changes(chunk // chunks_in_file[array])
    is_new = other_file | _changes(chunk)
    apart = is_new & (other_file | (np.diff(chunk, prepend=0) != 1))
    number = np.cumsum(is_new) - 1
    place = number - np.maximum.accumulate(np.where(apart, number, 0))  # among its neighbours
    place %= np.maximum(1, SCRATCH // (chunk_rows * row_bytes))[array]
    begins = np.flatnonzero(is_new & (place == 0)).tolist()

    sources = addresses(0, (place - chunk) * rows + begin, row_bytes)
    sizes = (stop - begin) * row_bytes
    places = targets[run] + addresses(0, begin - starts[run], row_bytes)
    distinct, numbers = chunk[is_new].tolist(), number.tolist()
    jobs: list[DecodingJob] = []
    for a, b in pairwise([*begins, len(run)]):
        if other_file[a]:
            file = ChunkFile(arrays[array[a]], int(chunk[a] // chunks_in_file[array[a]]))
        chunks = distinct[numbers[a] : numbers[b - 1] + 1]
        jobs.append(DecodingJob(file, chunks, sources[a:b], sizes[a:b], places[a:b]))
    return jobs


def _pieces(
    which: Int[np.ndarray, " n"],
    starts: Int[np.ndarray, " n"],
    counts: Int[np.ndarray, " n"],
    chunk_rows: Int64[np.ndarray, " arrays"],
) -> tuple[Int[np.ndarray, " pieces"], Int[np.ndarray, " pieces"]]:
    """Of each run and each chunk that it has rows of: the run's number and the chunk's, by array and chunk."""
    rows = chunk_rows[which]
    first = starts // rows
    pieces = np.where(counts > 0, (starts + counts - 1) // rows - first + 1, 0)
    run = np.repeat(np.arange(len(starts)), pieces)
    chunk = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    order = np.lexsort((chunk, which[run]))
    return run[order], chunk[order]


def _work(jobs: list[DecodingJob], row_bytes: int, streamed: bool) -> None:
    scratch = np.empty(0, np.uint8)
    try:
        while (job := _taken(jobs)) is not None:
            size = job.file.layout.chunk_rows * row_bytes
            if len(scratch) < size * len(job.chunks):
                scratch = np.empty(max(SCRATCH, size * len(job.chunks)), np.uint8)
            job.file.decode(job.chunks, scratch[: size * len(job.chunks)].reshape(-1, size))
            copy_runs(np.uint64(scratch.ctypes.data) + job.sources, job.sizes, job.targets, streamed)
    except BaseException:
        jobs.clear()  # the others need not go on
        raise


def _taken(jobs: list[DecodingJob]) -> DecodingJob | None:
    """One that no other thread has."""
    try:
        return jobs.pop()
    except IndexError:
        return None


def _changes(values: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether each is another one than that before it."""
    changes = np.ones(len(values), np.bool_)
    changes[1:] = values[1:] != values[:-1]
    return changes


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: those of the one that it was forked from did not come along."""
    return ThreadPoolExecutor(available_cores(), f"chunks-{process}")
