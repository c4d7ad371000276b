"""Drift: numbers that are others at the beginning of a dataset than at its end."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped

from pipeline.dataset.pictures import is_picture
from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.findings import Finding
from pipeline.doctor.kernels import spread_of
from pipeline.doctor.thresholds import Thresholds
from pipeline.wording import how_many

ALARMS = 0.001
"""So often at most does a dataset of independent, equally distributed episodes give a finding."""

LEAST = 0.2
"""A smaller Kolmogorov-Smirnov distance is certain in large datasets, and nobody minds it."""

MOST_EPISODES = 2048
"""Of more episodes some are compared, evenly spaced."""

STATES = 8
"""States of an episode that are looked at, evenly spaced; in a shorter one some count twice."""

WIDEST = 512
"""Columns of an array that are compared each by itself; so many pixels of a picture are taken together."""

CHOICES = 32
"""Actions that are whole numbers below this are counted, each by itself."""

SHOWN = 5
"""Statistics that are named."""


@dataclass(frozen=True)
class Difference:
    """One statistic that differs between the first and the last third of a dataset.

    Attributes:
        name: `mean of observation[3]`.
        distance: Kolmogorov-Smirnov: from 0, alike, to 1, no value in common.
        first, last: its mean in both.
        shift: between those, in standard deviations of all episodes.
    """

    name: str
    distance: float
    first: float
    last: float
    shift: float


class DriftCheck(Check):
    """A check that samples the states of evenly spaced episodes; its memory has a bound."""

    name = "drift"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._where, self._stitched = subject.where, subject.stitched
        self._stride = max(1, (subject.episodes or 0) // MOST_EPISODES)
        self._kept: list[dict[str, Float32[np.ndarray, "n columns"]]] = []
        self._numbers: list[Int64[np.ndarray, " n"]] = []

    def see(self, block: EpisodeBlock) -> None:
        """Keep the statistics of those episodes of a block whose number the stride divides."""
        chosen = np.flatnonzero((block.first + np.arange(len(block.ends))) % self._stride == 0)
        if len(chosen):
            self._kept.append(statistics_of(block, chosen))
            self._numbers.append(block.first + chosen)
        if self._episodes > MOST_EPISODES:
            self._thin()

    def findings(self) -> Iterator[Finding]:
        """One, or none."""
        found, tests = self._compared
        if found:
            yield _finding(self._where, found, tests, self._episodes // 3, self._stitched)

    def unchecked(self) -> str:
        """Says so of datasets that are too small for any difference to be certain."""
        tests = self._compared[1]
        few = self._numbers and self._episodes // 3 < fewest(max(1, tests))
        return f"drift needs {3 * fewest(max(1, tests))} episodes or more" if few else ""

    @property
    def _episodes(self) -> int:
        return sum(map(len, self._numbers))

    def _thin(self) -> None:
        self._stride *= 2
        for number, (kept, numbers) in enumerate(zip(self._kept, self._numbers, strict=True)):
            stay = numbers % self._stride == 0
            self._kept[number] = {name: values[stay] for name, values in kept.items()}
            self._numbers[number] = numbers[stay]

    @cached_property
    def _compared(self) -> tuple[list[Difference], int]:
        names = self._kept[0].keys() if self._kept else ()
        shared = [name for name in names if all(name in each for each in self._kept)]
        return differences_in({name: np.concatenate([each[name] for each in self._kept]) for name in shared})


def statistics_of(block: EpisodeBlock, chosen: Int64[np.ndarray, " k"]) -> dict[str, Float32[np.ndarray, "k columns"]]:
    """Of some episodes of a block: return and length, and of the columns of observations and actions mean and spread.

    Each is of a few states of one episode, so that steps, which depend on each other, are never compared as samples.
    """
    starts, lengths = block.starts[chosen], block.lengths[chosen]
    places = starts[:, None] + _evenly(lengths)
    found = {"return": block.once("return")[chosen][:, None], "length": lengths[:, None]}
    for name, array in block.steps.items():
        kind = name.split("/")[0]
        if kind not in ("observation", "action", "reward") or not array.size:
            continue
        rows = _sampled(array, places)
        if kind == "action" and (shares := _shares(rows)) is not None:
            found[f"share of {name} ="] = shares
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            values = rows.astype(np.float32) if rows.dtype.kind == "f" else rows
            found[f"mean of {name}"], found[f"spread of {name}"] = spread_of(values)
    with np.errstate(over="ignore"):
        single = {name: values.astype(np.float32) for name, values in found.items()}
    return {name: values if np.isfinite(values).all() else np.nan_to_num(values) for name, values in single.items()}


def differences_in(statistics: Mapping[str, Shaped[np.ndarray, "n columns"]]) -> tuple[list[Difference], int]:
    """Which columns differ between their first and last third, the most distant first; and how many were compared.

    Each column has one number of each episode, in order. Of independent episodes of one distribution, none differs in
    all but `ALARMS` of all cases, whatever that distribution is: the chance that the Kolmogorov-Smirnov distance of
    two samples of n reaches D is at most e * exp(-n D^2) (Wei and Dudley 2012, theorem 1), and it is shared between the
    columns (Bonferroni). Columns that never change cannot differ and are not counted.
    """
    changing = {name: np.flatnonzero((values != values[:1]).any(axis=0)) for name, values in statistics.items()}
    names = [_label(name, c, statistics[name].shape[1]) for name, found in changing.items() for c in found.tolist()]
    third = min((len(values) for values in statistics.values()), default=0) // 3
    if not names or third < fewest(len(names)):
        return [], len(names)
    samples = np.concatenate([statistics[name][:, found] for name, found in changing.items()], axis=1)
    distances = distances_between(samples[:third], samples[-third:])
    least = max(LEAST, math.sqrt(math.log(math.e * len(names) / ALARMS) / third))
    order = np.argsort(-distances, kind="stable")
    found = [
        _difference(names[at], samples[:, at].astype(np.float64), third, float(distances[at]))
        for at in order[distances[order] >= least]
    ]
    return found, len(names)


def fewest(columns: int) -> int:
    """Of so many episodes each third must be, so that some difference between columns is certain.

    >>> fewest(1), fewest(100)
    (8, 13)
    """
    return math.ceil(math.log(math.e * columns / ALARMS))


def _difference(name: str, values: Float64[np.ndarray, " n"], third: int, distance: float) -> Difference:
    first, last = float(values[:third].mean()), float(values[-third:].mean())
    return Difference(name, distance, first, last, (last - first) / max(float(values.std()), sys.float_info.min))


def distances_between(
    first: Shaped[np.ndarray, "n columns"], last: Shaped[np.ndarray, "n columns"]
) -> Float64[np.ndarray, " columns"]:
    """The Kolmogorov-Smirnov distance of each column: the largest difference between the shares up to some number.

    >>> distances_between(np.array([[1.0], [2.0]]), np.array([[2.0], [3.0]]))
    array([0.5])
    """
    values = np.concatenate([first, last])
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    more = np.where(order < len(first), 1, -1).cumsum(axis=0)  # of the first than of the last, up to each number
    more[:-1][ordered[1:] == ordered[:-1]] = 0  # others of the same number follow
    return np.abs(more).max(axis=0) / len(first)


def _label(name: str, column: int, columns: int) -> str:
    if name.endswith("="):
        return f"{name} {column}"
    return f"{name}[{column}]" if columns > 1 else name


def _evenly(lengths: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, "k states"]:
    """Rows of each episode, the first and last state among them."""
    steps = np.arange(STATES) / (STATES - 1)
    return np.floor(steps[None, :] * (lengths - 1)[:, None] + 0.5).astype(np.int64)


def _sampled(
    array: Shaped[np.ndarray, "rows ..."], places: Int64[np.ndarray, "k states"]
) -> Shaped[np.ndarray, "k samples columns"]:
    """The columns of an array at some rows; of a picture some pixels, all in one column: how bright it is."""
    flat = array.reshape(len(array), -1)
    if not is_picture(array.shape[1:], array.dtype) and flat.shape[1] <= WIDEST:
        return flat[places]
    return flat[:, :: math.ceil(flat.shape[1] / WIDEST)][places].reshape(len(places), -1, 1)


def _shares(rows: Shaped[np.ndarray, "k samples columns"]) -> Float64[np.ndarray, "k choices"] | None:
    """How often each choice was taken, where actions are one small whole number."""
    if rows.dtype.kind not in "iub" or rows.shape[2] != 1:
        return None
    whole = rows[:, :, 0].astype(np.int64)
    if whole.min() < 0 or whole.max() >= CHOICES:
        return None
    flat = whole + CHOICES * np.arange(len(whole))[:, None]
    counts = np.bincount(flat.reshape(-1), minlength=CHOICES * len(whole)).reshape(-1, CHOICES)
    return counts / rows.shape[1]


def _finding(where: str, found: list[Difference], tests: int, episodes: int, stitched: bool) -> Finding:
    worst = found[0]
    differ = "differs" if len(found) == 1 else "differ"
    by_design = ", as in datasets that are stitched together." if stitched else "."
    return Finding(
        "drift",
        "note" if stitched else "warning",
        where,
        len(found),
        f"{how_many(len(found), 'statistics')} of {tests:,} {differ} between the first and the last third of the "
        f"episodes{by_design}",
        "The first episodes are no sample of all: episodes=n reads other data, and a split in their order is not fair.",
        examples=tuple(_words(each) for each in found[:SHOWN]),
        numbers=(
            ("distance", worst.distance),
            ("shift", worst.shift),
            ("episodes", float(episodes)),
            ("tests", float(tests)),
        ),
    )


def _words(each: Difference) -> str:
    return (
        f"{each.name}: {each.first:.4g} in the first third, {each.last:.4g} in the last "
        f"(shift {each.shift:+.2f} standard deviations, distance {each.distance:.2f})"
    )
