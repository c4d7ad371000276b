"""Brute force in float64, and searches drawn to break float32 and the order of ties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


def brute_force(keys, queries, k, excluded=None, metric="l2"):
    """Every score in float64, a stable sort, and the last eligible key in missing slots."""
    if metric == "cosine":
        keys, queries = units(keys), units(queries)
    rows = np.empty((len(queries), k), dtype=np.int64)
    wide = keys.astype(np.float64)
    for i, query in enumerate(queries.astype(np.float64)):
        scores = np.zeros(len(keys))
        for j in range(keys.shape[1]):
            scores += (query[j] - wide[:, j]) ** 2 if metric == "l2" else -query[j] * wide[:, j]
        eligible = np.ones(len(keys), dtype=bool)
        if excluded is not None:
            eligible[excluded[i, 0] : excluded[i, 1]] = False
        order = np.argsort(scores, kind="stable")
        order = list(order[eligible[order]][:k])
        rows[i] = order + [np.flatnonzero(eligible)[-1]] * (k - len(order))
    return rows


def units(vectors):
    """Vectors of length one as float32; zeros stay."""
    squares = np.zeros(len(vectors))
    for column in vectors.T.astype(np.float64):
        squares += column**2
    lengths = np.sqrt(squares)[:, None]
    return np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0).astype(np.float32)


@dataclass(frozen=True)
class Drawn:
    keys: np.ndarray
    queries: np.ndarray
    k: int
    excluded: np.ndarray | None
    metric: str

    def answer(self):
        return brute_force(self.keys, self.queries, self.k, self.excluded, self.metric)


def drawn_search(data) -> Drawn:
    """Normals, few distinct values, duplicates, near ties, parallel and zero vectors, at many scales and offsets."""
    n, d, q = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 6)), data.draw(st.integers(0, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    spread = data.draw(st.sampled_from([1.0, 3.0, 1e-3, 1e18, 1e-42]))
    vectors = rng.normal(size=(n + q, d)) * spread
    shape = data.draw(st.sampled_from(["normal", "integers", "copies", "near copies", "parallel"]))
    if shape == "integers":
        vectors = np.round(vectors / spread) * spread
    elif shape != "normal":
        vectors = vectors[rng.integers(0, 1 + (n + q) // 4, size=n + q)]
    if shape == "near copies":
        vectors *= 1 + 1e-7 * rng.integers(-1, 2, size=vectors.shape)
    if shape == "parallel":
        vectors *= rng.integers(-1, 4, size=(n + q, 1))
    vectors += data.draw(st.sampled_from([0.0, 0.0, 1e3, -1e6])) * spread
    vectors[rng.random(n + q) < data.draw(st.sampled_from([0.0, 0.2]))] = 0
    keys, queries = vectors[:n].astype(np.float32), vectors[n:].astype(np.float32)
    excluded = None
    if n > 1 and data.draw(st.booleans()):
        length = rng.integers(0, n, size=q)
        start = (rng.random(q) * (n - length + 1)).astype(np.int64)
        excluded = np.stack([start, start + length], axis=1)
    metric = data.draw(st.sampled_from(["l2", "cosine"]))
    return Drawn(keys, queries, data.draw(st.integers(1, n + 3)), excluded, metric)
