"""Numbers that are none, and observations in which nothing changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.dataset.pictures import is_picture
from pipeline.doctor.block import Check, EpisodeBlock, Moments, Subject
from pipeline.doctor.commands import leave_out, report_of
from pipeline.doctor.findings import Finding
from pipeline.doctor.tally import FaultTally
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import INFO
from pipeline.wording import how_many

NEAR = 1e-6
"""A column whose standard deviation is less than this share of its range is nearly constant."""


class FiniteCheck(Check):
    """NaN and infinity in arrays of real numbers."""

    name = "finite"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject = subject
        self._found: dict[str, FaultTally] = {}

    def see(self, block: EpisodeBlock) -> None:
        """Sums tell whether all are finite; where one is not, the rows are looked for."""
        for name, array in block.steps.items():
            if array.dtype.kind != "f" or _sums_are_finite(block, name):
                continue
            bad = ~np.isfinite(array).reshape(len(array), -1)
            times = int(np.count_nonzero(bad))
            self._found.setdefault(name, FaultTally()).at_rows(block, np.flatnonzero(bad.any(axis=1)), times)

    def findings(self) -> Iterable[Finding]:
        """One for each array."""
        for name, tally in sorted(self._found.items()):
            if not tally:
                continue
            info = name.startswith(INFO)
            yield Finding(
                "not_finite",
                "warning" if info else "error",
                self._subject.where,
                tally.count,
                f"{name} holds {how_many(tally.count, 'values')} that {'is' if tally.count == 1 else 'are'} NaN or "
                f"infinite, in {how_many(tally.within, 'episodes')}.",
                "A trainer that reads this info gets NaN."
                if info
                else "One such number in a batch makes a network's weights NaN.",
                leave_out(self._subject, tally.episodes, tally.within),
                tuple(tally.examples),
            )


def _sums_are_finite(block: EpisodeBlock, name: str) -> bool:
    """Whether sums of all values of an array are finite; those of observations and actions others need, too."""
    array = block.steps[name]
    with np.errstate(invalid="ignore", over="ignore"):
        if array.size and name.split("/")[0] in ("observation", "action"):
            moments = block.moments(name)
            return bool(np.isfinite(moments.mean).all() and math.isfinite(moments.others))
        return bool(np.isfinite(array.sum()))


class ColumnsCheck(Check):
    """Columns of observations that never change."""

    name = "columns"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject, self._limits = subject, thresholds
        self._moments: dict[str, Moments] = {}
        self._pictures = False

    def see(self, block: EpisodeBlock) -> None:
        """Add up the columns of each vector; pictures have a check of their own."""
        for name, rows in block.vectors("observation").items():
            if is_picture(block.steps[name].shape[1:], rows.dtype):
                self._pictures = True
                continue
            moments = block.moments(name)
            self._moments[name] = self._moments[name].joined(moments) if name in self._moments else moments

    def findings(self) -> Iterable[Finding]:
        """An observation of which no column changes."""
        changing = any((moments.least != moments.most).any() for moments in self._moments.values())
        count = max((moments.rows for moments in self._moments.values()), default=0)
        if changing or self._pictures or count < self._limits.states:
            return
        yield Finding(
            "observations_constant",
            "error",
            self._subject.where,
            count,
            f"The observations of all {count:,} states are the same.",
            "Nothing can be learned from them: the source lost them, or one was stored again and again.",
            report_of(self._subject),
        )

    def facts(self) -> Mapping[str, Any]:
        """Columns that are constant, or nearly; simulators have some: fixed goals, unused joints."""
        found = {}
        for name, moments in self._moments.items():
            constant = np.flatnonzero(moments.least == moments.most)
            with np.errstate(invalid="ignore"):  # of columns with infinity
                width = moments.most - moments.least
            near = np.flatnonzero((moments.deviation < NEAR * width) & (moments.least != moments.most))
            found[name] = {"columns": len(moments.mean), "constant": constant.tolist(), "nearly": near.tolist()}
        return found
