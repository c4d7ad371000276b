"""Whether the ends of episodes agree: flags, discounts, reasons, the rows after the last state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.commands import leave_out
from pipeline.doctor.findings import Finding, Severity
from pipeline.doctor.lengths import time_limit
from pipeline.doctor.tally import FaultTally
from pipeline.doctor.thresholds import Thresholds

FLAG_OF = {"terminated": "terminated", "time_limit": "truncated", "budget": "truncated", "gave_up": "truncated"}
"""The flag that an episode of each end reason has."""

WORDS: dict[str, tuple[Severity, str, str]] = {
    "rows": (
        "error",
        "have no transition, or arrays of other lengths",
        "Rows of one array belong to other rows of another: actions, observations and rewards do not fit together.",
    ),
    "last_row": (
        "error",
        "have an action, reward or discount in the row after their last state",
        "That row holds the last observation alone. Something there means that arrays are shifted by one.",
    ),
    "terminal_discount": (
        "error",
        "terminated, and their last discount is not 0",
        "A value function goes on beyond the end: targets of the last state hold the value of nothing.",
    ),
    "truncated_discount": (
        "error",
        "were truncated alone, and their last discount is 0",
        "A cut is learned as if the task had ended there: values near a time limit become too small.",
    ),
    "inner_discount": (
        "error",
        "have a discount of 0 before their last state",
        "The task ends in the middle of an episode: two episodes were probably joined.",
    ),
    "end_reason": (
        "error",
        "have an end reason that their flags contradict",
        "Whoever filters by one of the two takes other episodes than by the other.",
    ),
    "discount_of_unknown_end": (
        "warning",
        "do not say how they ended, and their last discount is 0",
        "They ended as if terminated, but no flag says so.",
    ),
    "both_ends": (
        "warning",
        "are terminated and truncated before the time limit",
        "They count as terminated: if they were cut, values near the cut become too small.",
    ),
    "unknown_ends": (
        "note",
        "do not say whether they terminated or were cut",
        "Bootstrapping needs to know: most trainers take such an end for a cut.",
    ),
}
"""Severity, what is said of episodes with the fault, and why it matters."""


class EndsCheck(Check):
    """Flags, discounts and end reasons against each other."""

    name = "ends"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject = subject
        self._limit = time_limit(subject)
        self._found = {name: FaultTally() for name in WORDS}
        self._ended = dict.fromkeys(("terminated", "truncated", "neither"), 0)
        self._reasons: dict[str, int] = {}

    def see(self, block: EpisodeBlock) -> None:
        """Each fault of each episode."""
        short = block.lengths < 1
        if any(len(array) != block.rows for array in block.steps.values()):
            short = np.ones_like(short)
        self._found["rows"].of_episodes(block, short)
        if short.any():
            return
        terminated, truncated = block.once("terminated"), block.once("truncated")
        discount = block.steps["discount"]
        last = discount[block.lasts - 1]
        both, neither = terminated & truncated, ~terminated & ~truncated
        early = block.lengths < self._limit if isinstance(self._limit, int) else both
        found = {
            "terminal_discount": terminated & (last != 0),
            "truncated_discount": truncated & ~terminated & (last == 0),
            "both_ends": both & early,
            "discount_of_unknown_end": neither & (last == 0),
            "unknown_ends": neither,
            "last_row": self._dummies(block),
            "inner_discount": self._inner(block),
            "end_reason": self._contradicted(block),
        }
        for name, episodes in found.items():
            self._found[name].of_episodes(block, episodes)
        self._ended["terminated"] += int(terminated.sum())
        self._ended["truncated"] += int((truncated & ~terminated).sum())
        self._ended["neither"] += int(neither.sum())

    def _dummies(self, block: EpisodeBlock) -> np.ndarray:
        wrong = np.zeros(len(block.ends), np.bool_)
        for name, array in block.steps.items():
            if name.split("/")[0] in ("action", "reward", "discount"):
                rows = array[block.lasts]
                if rows.any():  # mostly not, which is known sooner of all together
                    wrong |= (rows != 0).reshape(len(wrong), -1).any(axis=1)
        return wrong

    def _inner(self, block: EpisodeBlock) -> np.ndarray:
        inner = block.steps["discount"] == 0
        inner[block.lasts] = inner[block.lasts - 1] = False
        wrong = np.zeros(len(block.ends), np.bool_)
        if inner.any():
            wrong[np.searchsorted(block.ends, np.flatnonzero(inner), "right")] = True
        return wrong

    def _contradicted(self, block: EpisodeBlock) -> np.ndarray:
        reasons, places = block.texts("end_reason")
        wrong = np.zeros(len(places), np.bool_)
        for reason, count in zip(reasons, np.bincount(places, minlength=len(reasons)).tolist(), strict=True):
            self._reasons[reason] = self._reasons.get(reason, 0) + count
            if reason in FLAG_OF:
                wrong |= (places == reasons.index(reason)) & ~block.once(FLAG_OF[reason])
        return wrong

    def findings(self) -> Iterable[Finding]:
        """One for each fault."""
        for name, (severity, what, why) in WORDS.items():
            if tally := self._found[name]:
                yield Finding(
                    name,
                    severity,
                    self._subject.where,
                    tally.count,
                    _sentence(tally.count, what),
                    why,
                    leave_out(self._subject, tally.episodes, tally.count) if severity != "note" else "",
                    tuple(tally.examples),
                )

    def facts(self) -> Mapping[str, Any]:
        """How many ended how."""
        return {"ended": dict(self._ended), "end_reasons": dict(sorted(self._reasons.items()))}


def _sentence(count: int, what: str) -> str:
    """`3 episodes have ...`, `1 episode has ...`."""
    if count != 1:
        return f"{count:,} episodes {what}."
    singular = {"have": "has", "are": "is", "were": "was", "do": "does"}
    verb, _, rest = what.partition(" ")
    return f"1 episode {singular.get(verb, verb)} {rest}.".replace(" their ", " its ").replace(" they ", " it ")
