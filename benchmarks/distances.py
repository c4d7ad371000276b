"""Context distances and their statistics against copying the same bytes, in memory and to disk."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, best_of, print_table
from benchmarks.retrieval import POOL_EPISODES, STEPS, observations, own_episode
from pipeline.regent.context import RETRIEVED
from pipeline.regent.distances import context_distances
from pipeline.regent.statistics import distance_statistics
from pipeline.search.index import ExactIndex

BLOCK = 8192  # states per block of the statistics' stream


def measure(threads: int = 2, repeats: int = 7, quick: bool = False) -> list[Row]:
    repeats = 3 if quick else repeats
    states = observations()
    pool = states[: POOL_EPISODES * STEPS]
    rows = ExactIndex(pool).search(states, RETRIEVED, own_episode(len(states), len(pool))).rows
    distances = context_distances(pool, states, rows, threads=threads)
    statistics = distance_statistics(lambda: blocks(distances))
    with tempfile.TemporaryDirectory() as folder:
        times = best_of(
            repeats,
            contexts=lambda: context_distances(pool, states, rows, threads=threads),
            memory=lambda: [array.copy() for array in (pool, states, rows, distances)],
            numpy=lambda: by_numpy(pool, states, rows),
            disk=lambda: through_disk(Path(folder), (pool, states, rows), distances),
            streamed=lambda: distance_statistics(lambda: blocks(distances)),
            sorted=lambda: np.percentile(distances.astype(np.float64), (80, 85, 90, 95, 99)),
            read=lambda: [distances.copy() for _ in range(2)],
        )
    assert statistics.p95 == np.percentile(distances.astype(np.float64), 95)
    work = f"{len(states):,} contexts of 20 x {states.shape[1]}, {threads} threads"
    own, entries = times["contexts"], f"mean, std, max and five percentiles of {distances.size:,} distances"
    return [
        Row(work, own, "numpy, gathered in blocks", times["numpy"], "memory copy", times["memory"], limit_goal=5),
        Row(work, own, "", None, "inputs read, result written, fsync", times["disk"], "files in the page cache"),
        Row(entries, times["streamed"], "np.percentile alone", times["sorted"], "memory copy, twice", times["read"]),
    ]


def blocks(distances: np.ndarray) -> list[np.ndarray]:
    return [distances[i : i + BLOCK] for i in range(0, len(distances), BLOCK)]


def by_numpy(pool: np.ndarray, states: np.ndarray, rows: np.ndarray) -> np.ndarray:
    out = np.empty((len(states), RETRIEVED + 1), dtype=np.float32)
    for i in range(0, len(states), 1024):
        part = slice(i, i + 1024)
        context = np.concatenate([pool[rows[part]], states[part, None]], axis=1).astype(np.float64)
        out[part] = np.sqrt(np.square(context - context[:, :1]).sum(axis=2))
    return out


def through_disk(folder: Path, inputs: tuple[np.ndarray, ...], result: np.ndarray) -> None:
    """Read every input from a file and put the result on the disk itself."""
    for number, array in enumerate(inputs):
        path = folder / f"{number}.bin"
        if not path.exists():
            array.tofile(path)
        np.fromfile(path, dtype=array.dtype)
    with (folder / "result.bin").open("wb") as file:
        result.tofile(file)
        os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    print_table(measure(arguments.threads, arguments.repeats))


if __name__ == "__main__":
    main()
