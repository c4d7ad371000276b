"""What approximate search finds of the true neighbours, and in what time, against this project's exact search.

39 numbers are real: states of Meta-World's scripted expert. 512 numbers are made as embeddings of a game's frames are
(`benchmarks.retrieval.frames`): slow walks, and half of all frames again. One thread; queries are of other episodes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.retrieval import frames
from benchmarks.scaling.units import seconds
from pipeline.artifacts.artifact import EPISODES, artifact_at
from pipeline.dataset.reader import EpisodeDataset
from pipeline.search.index import ExactIndex

POOLS = (10_000, 80_000)
QUERIES, NEAREST = 2000, 20
COLLECT = ("stage=collect", "domain=metaworld", "task=assembly", "episodes=850")
PROBES, EFFORTS = (1, 8, 32), (64, 512)
TIE = 1e-5
"""What is no farther than the last true neighbour by this, relative and absolute, is found: equals have no order."""


def measure_recall() -> list[dict[str, Any]]:
    """A row for each length of vectors, pool and kind of search."""
    faiss.omp_set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for width, vectors in ((39, meta_world()), (512, frames(POOLS[-1] + QUERIES))):
        asked = vectors[-QUERIES:]
        ExactIndex(vectors[:1000], threads=1).search(asked[:64], NEAREST)  # compile
        for pool in POOLS:
            rows += _compare(np.ascontiguousarray(vectors[:pool]), np.ascontiguousarray(asked), width)
    return rows


def meta_world() -> np.ndarray:
    """States (n, 39) of the scripted expert, collected here."""
    with tempfile.TemporaryDirectory() as root:
        seconds(*COLLECT, f"paths.root={root}")
        (folder,) = (
            path.parent for path in Path(root).glob(f"artifacts/metaworld/assembly/{EPISODES}/*/manifest.json")
        )
        episodes = list(EpisodeDataset.of(artifact_at(folder, EPISODES)))
    return np.concatenate([each.steps["observation"][:-1] for each in episodes]).astype(np.float32)


def _compare(pool: np.ndarray, asked: np.ndarray, width: int) -> Iterator[dict[str, Any]]:
    built, index = _timed(partial(ExactIndex, pool, threads=1))
    index.search(asked[:64], NEAREST)
    spent, nearest = _timed(partial(index.search, asked, NEAREST))
    farthest = _distances(pool, asked, nearest.rows)[:, -1]
    row = {"width": width, "pool": len(pool)}
    yield row | {"search": "exact", "build_s": built, "query_us": spent / QUERIES * 1e6, "recall": 1.0}
    for name, make, settings in (
        ("IVF", partial(_inverted, pool), [("nprobe", each) for each in PROBES]),
        ("HNSW", partial(_graph, pool), [("efSearch", each) for each in EFFORTS]),
    ):
        built, approximate = _timed(make)
        for key, value in settings:
            faiss.ParameterSpace().set_index_parameter(approximate, key, value)
            spent, (_, found) = _timed(partial(approximate.search, asked, NEAREST))
            hits = _distances(pool, asked, found) <= farthest[:, None] * (1 + TIE) + TIE
            recall = float((hits & (found >= 0)).mean())
            label = f"{name}, {key} {value}"
            yield row | {"search": label, "build_s": built, "query_us": spent / QUERIES * 1e6, "recall": recall}


def _inverted(pool: np.ndarray) -> faiss.Index:
    lists = int(4 * len(pool) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(pool.shape[1]), pool.shape[1], lists)
    index.train(pool)
    index.add(pool)
    return index


def _graph(pool: np.ndarray) -> faiss.Index:
    index = faiss.IndexHNSWFlat(pool.shape[1], 32)
    index.add(pool)
    return index


def _distances(pool: np.ndarray, asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Of each query to what was found for it, in float64."""
    return np.stack(
        [np.linalg.norm(pool[row].astype(np.float64) - query, axis=1) for row, query in zip(found, asked, strict=True)]
    )


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = function()
    return time.perf_counter() - began, found
