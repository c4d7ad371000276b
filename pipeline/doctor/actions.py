"""Actions outside their space, on its bounds, or always the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int64, Num

from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.commands import leave_out, report_of
from pipeline.doctor.findings import Finding
from pipeline.doctor.kernels import on_bounds
from pipeline.doctor.ranges import ActionRange, action_range
from pipeline.doctor.tally import FaultTally
from pipeline.doctor.thresholds import Thresholds
from pipeline.wording import few, how_many

MOST_ACTIONS = 4096
"""Different discrete actions that are counted one by one."""

FEW_OF, FEW = 6, 2
"""So few of so many discrete actions, or more, are few."""


class ActionsCheck(Check):
    """Each dimension of the actions against its bounds; how often each discrete action was taken."""

    name = "actions"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject, self._limits = subject, thresholds
        self._ranges: dict[str, ActionRange | None] = {}
        self._on: dict[str, Int64[np.ndarray, " columns"]] = {}
        self._outside: dict[str, Int64[np.ndarray, " columns"]] = {}
        self._rows_outside = FaultTally()
        self._least: dict[str, np.ndarray] = {}
        self._most: dict[str, np.ndarray] = {}
        self._counts: dict[int, int] = {}
        self._states = 0
        self._discrete = self._real = False

    def see(self, block: EpisodeBlock) -> None:
        """Count what lies on a bound or outside; count discrete actions."""
        self._states += int(block.lengths.sum())
        for name, rows in block.vectors("action").items():
            if name not in self._ranges:
                self._begin(name, rows)
            moments = block.moments(name)
            self._least[name] = np.minimum(self._least[name], moments.least)
            self._most[name] = np.maximum(self._most[name], moments.most)
            if self._discrete:
                self._count(rows[block.is_state].ravel())
            if (bounds := self._ranges[name]) is not None:
                low, high = bounds.of_type(rows.dtype)
                on, outside = on_bounds(rows, block.is_state, low, high)
                self._on[name] += on
                self._outside[name] += outside
                if outside.any():
                    wrong = ((rows < low) | (rows > high)).any(axis=1) & block.is_state
                    self._rows_outside.of_rows(block, wrong)

    def _begin(self, name: str, rows: Num[np.ndarray, "rows columns"]) -> None:
        columns, whole = rows.shape[1], rows.dtype.kind in "iub"
        self._ranges[name] = action_range(self._subject, columns, whole) if name == "action" else None
        self._on[name], self._outside[name] = np.zeros(columns, np.int64), np.zeros(columns, np.int64)
        self._least[name], self._most[name] = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._discrete, self._real = whole and columns == 1 and name == "action", not whole

    def _count(self, actions: Num[np.ndarray, " states"]) -> None:
        values, counts = np.unique(actions, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if value in self._counts or len(self._counts) < MOST_ACTIONS:
                self._counts[value] = self._counts.get(value, 0) + count

    def findings(self) -> Iterable[Finding]:
        """One for each fault."""
        if self._rows_outside:
            dimensions = [
                f"{name}[{column}] {count / self._states:.1%}"
                for name, counts in self._outside.items()
                for column, count in enumerate(counts.tolist())
                if count
            ]
            yield Finding(
                "actions_outside",
                "error",
                self._subject.where,
                self._rows_outside.count,
                f"{how_many(self._rows_outside.count, 'states')} have an action outside the action space: "
                f"{few(dimensions)}.",
                "The simulator clips or refuses them: what is stored is not what was done. Their space may be another.",
                leave_out(self._subject, self._rows_outside.episodes, self._rows_outside.within),
                tuple(self._rows_outside.examples),
            )
        if self._states >= self._limits.states:
            yield from self._alike()

    def _alike(self) -> Iterable[Finding]:
        yield from self._always() if self._discrete else self._continuous()

    def _always(self) -> Iterable[Finding]:
        action, count = max(self._counts.items(), key=lambda each: each[1])
        share, bounds = count / self._states, self._ranges["action"]
        there = int(bounds.high[0] - bounds.low[0]) + 1 if bounds is not None else 0
        if share >= self._limits.one_action:
            yield self._finding(
                "one_action",
                count,
                f"{share:.1%} of the actions are {action}.",
                "Nothing is learned of the others; a player may be broken, or the actions were lost.",
                (("share", share),),
            )
        elif there >= FEW_OF and len(self._counts) <= FEW:
            yield self._finding(
                "few_actions",
                len(self._counts),
                f"Only {len(self._counts)} of {there} actions are taken: {', '.join(map(str, sorted(self._counts)))}.",
                "Nothing is learned of the others.",
                (),
            )

    def _continuous(self) -> Iterable[Finding]:
        if self._least and all((self._least[name] == self._most[name]).all() for name in self._least):
            yield self._finding(
                "one_action",
                self._states,
                f"All {self._states:,} actions are the same.",
                "Nothing is learned of the others; a player may be broken, or the actions were lost.",
                (),
            )
            return
        for name, on in self._on.items():
            shares = on / self._states
            if self._real and self._ranges[name] is not None and shares.mean() >= self._limits.on_bounds:
                yield self._finding(
                    "actions_on_bounds",
                    int(on.sum()),
                    f"{shares.mean():.1%} of the values of {name} lie exactly on a bound; by dimension: "
                    f"{', '.join(f'{share:.0%}' for share in shares[:12])}.",
                    "They were probably clipped: what the policy wanted is lost, and densities of actions are not "
                    "defined there.",
                    tuple((f"{name}[{column}]", float(share)) for column, share in enumerate(shares[:100])),
                )

    def _finding(self, fault: str, count: int, what: str, why: str, numbers: tuple[tuple[str, float], ...]) -> Finding:
        command = report_of(self._subject)
        return Finding(fault, "warning", self._subject.where, count, what, why, command, numbers=numbers)

    def facts(self) -> Mapping[str, Any]:
        """How often each discrete action was taken; the share of each dimension that lies on a bound."""
        if self._discrete:
            return {"counts": {str(action): count for action, count in sorted(self._counts.items())}}
        known = {name: on for name, on in self._on.items() if self._real and self._ranges[name] is not None}
        return {name: {"on_bounds": (on / max(1, self._states)).tolist()} for name, on in known.items()}

    def unchecked(self) -> str:
        """Where nobody says which actions there are."""
        return "the bounds of actions are not stated" if not any(self._ranges.values()) else ""
