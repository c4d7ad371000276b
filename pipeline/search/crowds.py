"""Crowds: vectors so near to each other that a float32 product about the centre of the pool cannot tell them apart.

A crowd is every vector of the pool within `radius` of a centre. About its own centre the same product has small factors
and so a small error: a query in the crowd is searched among the crowd's vectors alone. Its answer holds for the pool
when the k-th distance r and the query's distance t from the centre leave room: a vector outside is at least radius - t
away, so r + t < radius proves that none of them is nearer.

Crowds are learned from queries that the product over the pool could not decide, and found again by their centres. A
crowd is a pool, with crowds of its own where it needs them.

For the cosine, 2uv = |u|^2 + |v|^2 - |u - v|^2 turns similarities to distances: with `longest`, the largest |v|^2 of
the pool, |u|^2 + longest - 2uv takes the place of r^2. It is the squared distance of v, or larger.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int32, Int64

from pipeline.search.panels import EPS64, GROUP, Panels, pack_panels, score_side
from pipeline.search.pool import DistinctVectors

MOST = 256  # crowds of one pool
LARGEST = 7 / 8  # of the pool; all crowds together hold no more vectors than it
WIDER = 2.0  # radius of a crowd, in units of the distance up to which its first query's nearest may lie
ROUNDED = 16  # a query needs a crowd where its k-th squared distance is below so many errors of the product
FAILURES = 8  # crowds that may prove too large before no more are looked for
MARGIN = 1e-9  # more than the relative error of a float64 distance


@dataclass(frozen=True)
class Crowd:
    """Every vector within `radius` of `centre`, as a pool; rows: (n,) ascending, which rows of the pool are its own."""

    centre: Float64[np.ndarray, "d"]
    radius: float
    rows: Int64[np.ndarray, "n"]
    pool: DistinctVectors

    @functools.cached_property
    def panels(self) -> Panels:
        return pack_panels(self.pool.vectors, self.pool.cosine)

    @functools.cached_property
    def crowds(self) -> Crowds:
        return Crowds(self.pool, self.panels)

    def proves(
        self, queries: Float32[np.ndarray, "m d"], last: Int32[np.ndarray, "m"], longest: float
    ) -> Bool[np.ndarray, "m"]:
        """Whether no vector outside is as near as the last of k rows found inside; longest: of the whole pool."""
        wide = queries.astype(np.float64)
        reached = self.pool.vectors[self.pool.owners[last]].astype(np.float64)
        if self.pool.cosine:
            slack = 32 * (queries.shape[1] + 3) * EPS64
            squares = np.square(wide).sum(axis=1) + longest - 2 * (wide * reached).sum(axis=1) + slack
        else:
            squares = np.square(wide - reached).sum(axis=1)
        away = np.sqrt(np.square(wide - self.centre).sum(axis=1))
        return np.asarray((np.sqrt(squares) + away) * (1 + MARGIN) < self.radius)


class Crowds:
    """The crowds of a pool that queries have met so far. Which there are changes no answer, only the time it takes."""

    def __init__(self, pool: DistinctVectors, panels: Panels) -> None:
        self.pool, self.panels = pool, panels
        self._lock = threading.Lock()
        self._known: tuple[Crowd, ...] = ()
        self._failures = 0

    def __iter__(self) -> Iterator[Crowd]:
        return iter(self._known)

    @functools.cached_property
    def longest(self) -> float:
        """For the cosine: the largest squared length, 1 to rounding."""
        return float(1 - self.panels.offsets.min() / self.panels.scale**2)

    def around(self, queries: Float32[np.ndarray, "m d"]) -> list[tuple[Crowd, Int64[np.ndarray, "_"]]]:
        """The known crowds that some queries (m, d) lie deep inside, and which queries."""
        known = self._known
        if not known:
            return []
        moved = (queries - self.panels.centre) * self.panels.scale
        centres = np.stack([crowd.centre for crowd in known])
        centres = (centres - self.panels.centre) * self.panels.scale
        radii = np.array([crowd.radius for crowd in known]) * self.panels.scale
        squares = np.square(moved).sum(axis=1)[:, None] + np.square(centres).sum(axis=1) - 2 * moved @ centres.T
        inside = squares < np.square(radii / 2)
        first = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
        return [(known[number], np.flatnonzero(first == number)) for number in np.unique(first[first >= 0])]

    def learn(self, queries: Float32[np.ndarray, "m d"], limits: Float32[np.ndarray, "m"]) -> None:
        """Make crowds around those of the queries (m, d) that need one; limits: upper bounds of their k-th scores."""
        side = score_side(queries, self.panels)
        wide = side.left[:, :-2].astype(np.float64)
        reached = np.square(wide).sum(axis=1) + limits  # the squared distance of the k-th, to the product's error
        unclear = 2 * side.widths.astype(np.float64) * self.panels.largest
        for i in np.flatnonzero(reached < ROUNDED * unclear):
            with self._lock:
                if self._failures < FAILURES and len(self._known) < MOST and not self.around(queries[i : i + 1]):
                    self._add(queries[i], side.left[i], side.pads[i], WIDER * np.sqrt(max(reached[i], unclear[i])))

    def _add(
        self, query: Float32[np.ndarray, "d"], left: Float32[np.ndarray, "d+2"], pad: float, radius: float
    ) -> None:
        """Make the crowd of a query; the radius is multiplied by the scale, as are the sides of the product."""
        panels, pool = self.panels, self.pool
        # Lower bounds of the squared distances: whatever may lie inside does.
        lows = np.concatenate([(left @ tile).reshape(GROUP, -1).T.ravel() for tile in panels.tiles])[: len(pool)]
        squares = lows - pad - panels.offsets + np.square(left[:-2].astype(np.float64)).sum() * (1 - 1e-6)
        inside = np.flatnonzero(squares <= radius**2)
        room = len(pool) - sum(len(crowd.pool) for crowd in self._known)
        if len(inside) > min(room, len(pool) * LARGEST):
            self._failures += 1
            return
        rows, chosen = _chosen(pool, inside)
        self._known += (Crowd(query.astype(np.float64), float(radius / panels.scale), rows, chosen),)


def _chosen(pool: DistinctVectors, vectors: Int[np.ndarray, "m"]) -> tuple[Int64[np.ndarray, "n"], DistinctVectors]:
    """The rows that hold some ascending vectors of a pool, ascending, and these vectors as a pool of such rows."""
    sizes = pool.starts[vectors + 1] - pool.starts[vectors]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    members = pool.members[np.arange(starts[-1]) + np.repeat(pool.starts[vectors] - starts[:-1], sizes)]
    rows = np.sort(members).astype(np.int64)
    own = np.searchsorted(rows, members).astype(np.int32)
    return rows, DistinctVectors(pool.vectors[vectors], own, starts, pool.cosine)
