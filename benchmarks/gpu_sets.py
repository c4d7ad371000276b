"""Twenty searches in which float32, TF32 or a careless order of ties goes wrong, and their rows in plain float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any  # numpy arrays; shapes are in the docstrings


@dataclass(frozen=True)
class NastySet:
    """keys (n, d) and queries (q, d) float32, k, the metric, and excluded rows (q, 2) or None."""

    name: str
    keys: Array
    queries: Array
    k: int
    metric: str = "l2"
    excluded: Array = None

    def answer(self) -> Array:
        """(q, k) int32 rows."""
        return plain_rows(self.keys, self.queries, self.k, self.metric, self.excluded)


def plain_rows(keys: Array, queries: Array, k: int, metric: str = "l2", excluded: Array = None) -> Array:
    """(q, k) rows by (float64 score, row): terms added dimension by dimension, the last eligible row where few are."""
    keys, queries = (unit_vectors_of(each) if metric == "cosine" else each for each in (keys, queries))
    scores = np.zeros((len(queries), len(keys)))
    for asked, column in zip(queries.T.astype(np.float64), keys.T.astype(np.float64), strict=True):
        scores += (asked[:, None] - column) ** 2 if metric == "l2" else -(asked[:, None] * column)
    rows = np.empty((len(queries), k), np.int32)
    for number, own in enumerate(scores):
        hidden = np.zeros(len(keys), bool)
        if excluded is not None:
            hidden[slice(*excluded[number])] = True
        own[hidden] = np.inf
        eligible = len(keys) - int(hidden.sum())
        found = np.argsort(own, kind="stable")[: min(k, eligible)]
        rows[number] = np.flatnonzero(~hidden)[-1]
        rows[number, : len(found)] = found
    return rows


def unit_vectors_of(vectors: Array) -> Array:
    """Each row divided by its length, in float64, then float32; zero rows stay."""
    squares = np.zeros(len(vectors))
    for column in vectors.T.astype(np.float64):
        squares += column * column
    lengths = np.sqrt(squares)[:, None]
    return np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0).astype(np.float32)


def nasty_sets(size: float = 1.0, seed: int = 0) -> Iterator[NastySet]:
    """Twenty of them, with `size` times the usual number of keys."""
    rng = np.random.default_rng(seed)
    n, q = max(40, int(4000 * size)), max(10, int(200 * size))

    def noise(d: int = 24, keys: int = n, spread: float = 1.0) -> Array:
        return (spread * rng.normal(size=(keys + q, d))).astype(np.float32)

    def cut(name: str, vectors: Array, k: int = 30, metric: str = "l2", own: bool = False) -> NastySet:
        start = rng.integers(0, max(1, n - n // 8), q)
        excluded = np.stack([start, start + rng.integers(0, n // 8, q)], axis=1) if own else None
        with np.errstate(over="ignore"):
            return NastySet(name, vectors[:-q].astype(np.float32), vectors[-q:].astype(np.float32), k, metric, excluded)

    copies = noise()
    copies[rng.random(n + q) < 0.5] = copies[7]
    few = noise()[rng.integers(0, n // 10, n + q)]
    clusters = np.where(rng.random((n + q, 1)) < 0.5, -1e4, 1e4) + noise(spread=0.01)
    outlier = noise()
    outlier[3] *= 1e15
    zeros = np.where(rng.random((n + q, 24)) < 0.5, -0.0, 0.0) * (rng.random((n + q, 1)) < 0.9) + 0.0 * noise()
    zeros[::3] = np.round(noise())[::3]
    multiples = few * rng.integers(-1, 4, (n + q, 1))
    steps = 1 + 2.0**-12 * rng.integers(0, 4, (n + q, 64))
    walk = np.cumsum(noise(spread=0.01), axis=0) + 1
    onehot = np.eye(48)[rng.permutation(n + q) % 48]
    whole: Callable[[Array], Array] = np.round
    yield cut("noise, 512 dimensions", noise(512, max(40, n // 4)), 100)
    yield cut("noise, 39 dimensions, own rows excluded", noise(39), 100, own=True)
    yield cut("one dimension", noise(1))
    yield cut("whole numbers: ties", whole(noise(6)))
    yield cut("one-hot: all equally far, each many times", onehot, own=True)
    yield cut("identity: all equally far, each once", np.vstack([np.eye(n, min(n, 600)), np.eye(q, min(n, 600))]), 10)
    yield cut("half of the keys are one vector, own rows excluded", copies, own=True)
    yield cut("all keys equal", np.ones((n + q, 5)), own=True)
    yield cut("copies that differ in the last bit", few * (1 + 1e-7 * rng.integers(-1, 2, (n + q, 24))))
    yield cut("two far crowds", clusters)
    yield cut("one key 10^15 times farther", outlier)
    yield cut("denormal numbers", noise(spread=1e-42))
    yield cut("differences beyond float32's squares", noise(spread=1e20))
    yield cut("far from the origin", noise() - 1e6)
    yield cut("differences that TF32 does not see", steps)
    yield cut("more neighbours than keys", noise(3, 40), 60)
    yield cut("minus zero and zero", zeros, own=True)
    yield cut("a slow walk, cosine, own rows excluded", walk, 60, "cosine", own=True)
    yield cut("multiples of few vectors and zeros, cosine", multiples, 30, "cosine", own=True)
    yield cut("queries far outside, cosine", np.vstack([noise() + 50, 1e9 * noise(keys=0)]), 30, "cosine")
