"""Points of a plane in groups: k-means that depends on the points alone, not on their order or on a random draw."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int64

from pipeline.machine.compiled import compiled

ROUNDS = 100
"""So often the centres move at most."""

MOST_CLUSTERS = 8
"""Where nobody says how many clusters there are: one for each episode, and so many at most."""

CANDIDATES = 4
"""So many points are tried as the next first centre."""


def cluster_points(
    points: Float32[np.ndarray, "n 2"], k: int
) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, "c 2"]]:
    """The cluster of each point, 0 to c - 1, and the mean of each cluster, ascending by x, then y.

    c is k, or the number of distinct points where that is smaller. The first centres are those of k-means++ (Arthur and
    Vassilvitskii 2007) with candidates at even steps of the summed squared distances instead of random ones; then come
    Lloyd's rounds. Of equally near centres the first counts.
    """
    places, weights, inverse = _distinct(points)
    centres = _first_centres(places, weights, min(k, len(places)))
    labels = np.full(len(places), -1)
    for _ in range(ROUNDS):
        nearest = _nearest(places, centres)
        if (nearest == labels).all():
            break
        labels = nearest
        centres = weighted_means(places, weights, labels, len(centres))
    order = np.lexsort((centres[:, 1], centres[:, 0]))
    renamed = np.empty(len(order), np.int64)
    renamed[order] = np.arange(len(order))
    return renamed[labels][inverse], centres[order].astype(np.float32)


def _distinct(
    points: Float32[np.ndarray, "n 2"],
) -> tuple[Float64[np.ndarray, "m 2"], Float64[np.ndarray, " m"], Int64[np.ndarray, " n"]]:
    """The points, each once and in order; how often each one is there; and which of them each point is."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    ordered = points[order].astype(np.float64)
    new = np.ones(len(points), np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(points), np.int64)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], np.bincount(inverse, minlength=int(new.sum())).astype(np.float64), inverse


def _first_centres(
    places: Float64[np.ndarray, "m 2"], weights: Float64[np.ndarray, " m"], k: int
) -> Float64[np.ndarray, "k 2"]:
    chosen = np.zeros((0, 2))
    rest = np.ones(len(places))  # squared distance to the nearest centre; before the first one, all count alike
    while len(chosen) < k:
        summed = np.cumsum(rest * weights)
        steps = summed[-1] * (np.arange(CANDIDATES) + 0.5) / CANDIDATES
        tried = np.unique(np.searchsorted(summed, steps))
        left = [_squares(places, places[number]) for number in tried]
        if len(chosen):
            left = [np.minimum(rest, each) for each in left]
        best = int(np.argmin([each @ weights for each in left]))
        chosen, rest = np.vstack([chosen, places[tried[best]]]), left[best]
    return chosen


def _nearest(places: Float64[np.ndarray, "m 2"], centres: Float64[np.ndarray, "k 2"]) -> Int64[np.ndarray, " m"]:
    """The nearest centre of each place; a centre to which none is nearest gets the place that is worst off."""
    nearest, own = nearest_centres(places, centres)
    for empty in np.flatnonzero(np.bincount(nearest, minlength=len(centres)) == 0):
        alone = np.bincount(nearest, minlength=len(centres))[nearest] == 1
        worst = int(np.argmax(np.where(alone, -1.0, own)))
        nearest[worst], own[worst] = empty, 0.0
    return nearest


@compiled()
def nearest_centres(
    places: Float64[np.ndarray, "m 2"], centres: Float64[np.ndarray, "k 2"]
) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """The nearest centre of each place, the first of equally near ones, and its squared distance."""
    nearest, squares = np.zeros(len(places), np.int64), np.empty(len(places))
    for i in range(len(places)):
        x, y = places[i, 0], places[i, 1]
        least = np.inf
        for j in range(len(centres)):
            square = (x - centres[j, 0]) * (x - centres[j, 0]) + (y - centres[j, 1]) * (y - centres[j, 1])
            if square < least:
                least = square
                nearest[i] = j
        squares[i] = least
    return nearest, squares


@compiled()
def weighted_means(
    places: Float64[np.ndarray, "m 2"], weights: Float64[np.ndarray, " m"], labels: Int64[np.ndarray, " m"], k: int
) -> Float64[np.ndarray, "k 2"]:
    """The mean of the places of each label, added up in order."""
    sums, whole = np.zeros((k, 2)), np.zeros((k, 1))
    for i in range(len(places)):
        label, weight = labels[i], weights[i]
        sums[label, 0] += weight * places[i, 0]
        sums[label, 1] += weight * places[i, 1]
        whole[label, 0] += weight
    return sums / whole


def _squares(places: Float64[np.ndarray, "m 2"], centre: Float64[np.ndarray, "2"]) -> Float64[np.ndarray, " m"]:
    return np.square(places[:, 0] - centre[0]) + np.square(places[:, 1] - centre[1])
