"""Screens that show nothing: black, of one value, frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from pipeline.dataset.pictures import is_picture
from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.commands import report_of
from pipeline.doctor.findings import Finding, Severity
from pipeline.doctor.kernels import BLACK, ONE_VALUE, REPEATED, looks_of
from pipeline.doctor.tally import FaultTally
from pipeline.doctor.thresholds import Thresholds
from pipeline.wording import how_many

MOSTLY = 0.5
"""From this share on an error."""


class _Seen:
    """What was seen of one array of screens."""

    def __init__(self) -> None:
        self.rows = self.later = self.longest = 0
        self.black, self.one_value, self.repeated, self.stuck = FaultTally(), FaultTally(), FaultTally(), FaultTally()


class ScreensCheck(Check):
    """Black and single-coloured screens, repeated ones, and episodes that stand still."""

    name = "screens"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject, self._limits = subject, thresholds
        self._seen: dict[str, _Seen] = {}

    def see(self, block: EpisodeBlock) -> None:
        """One pass over the bytes of each array of pictures."""
        for name, array in block.steps.items():
            if name.split("/")[0] != "observation" or not is_picture(array.shape[1:], array.dtype):
                continue
            seen = self._seen.setdefault(name, _Seen())
            looks = looks_of(array, block.is_seen, block.is_first)
            seen.rows += int(np.count_nonzero(block.is_seen))
            seen.later += int(np.count_nonzero(block.is_seen & ~block.is_first))
            seen.black.of_rows(block, looks & BLACK > 0)
            seen.one_value.of_rows(block, looks & ONE_VALUE > 0)
            seen.repeated.of_rows(block, looks & REPEATED > 0)
            self._stuck(seen, block, looks)

    def _stuck(self, seen: _Seen, block: EpisodeBlock, looks: UInt8[np.ndarray, " rows"]) -> None:
        still = (looks & REPEATED) > 0  # never at the first row of an episode, so no run crosses two
        if not still.any():
            return
        runs = _run_lengths(still)
        seen.longest = max(seen.longest, int(runs.max()))
        long = runs >= self._limits.still
        if long.any():
            found = np.zeros(len(block.ends), np.bool_)
            found[np.searchsorted(block.ends, np.flatnonzero(long), "right")] = True
            seen.stuck.of_episodes(block, found)

    def findings(self) -> Iterable[Finding]:
        """One for each fault of each array."""
        for name, seen in self._seen.items():
            yield from self._dark("black_screens", name, seen.black, seen.rows, "black")
            yield from self._dark("single_colour_screens", name, seen.one_value, seen.rows, "of one value")
            share = seen.repeated.count / max(1, seen.later)
            if seen.later >= self._limits.states and share >= self._limits.frozen:
                yield self._finding(
                    "frozen_screens",
                    "error",
                    seen.repeated,
                    share,
                    f"{share:.1%} of the pictures of {name} equal the one before ({seen.repeated.count:,}).",
                    "The picture does not follow the actions: it was taken too rarely, or not renewed.",
                )
            if seen.stuck:
                yield self._finding(
                    "stuck_episodes",
                    "warning",
                    seen.stuck,
                    seen.stuck.count,
                    f"Nothing changes in {name} for {self._limits.still:,} steps or more of "
                    f"{how_many(seen.stuck.count, 'episodes')}.",
                    "The player waits for ever, perhaps for a button: many equal states, and nothing to learn.",
                )

    def _dark(self, fault: str, name: str, tally: FaultTally, rows: int, look: str) -> Iterable[Finding]:
        share = tally.count / max(1, rows)
        every = rows > 0 and tally.count == rows
        if not tally or not (every or (rows >= self._limits.states and share >= self._limits.dark)):
            return
        yield self._finding(
            fault,
            "error" if share >= MOSTLY else "warning",
            tally,
            share,
            f"{share:.1%} of the pictures of {name} are {look} ({tally.count:,}).",
            "They show nothing of the state: rendering failed, or they were lost.",
        )

    def _finding(self, fault: str, severity: Severity, tally: FaultTally, share: float, what: str, why: str) -> Finding:
        where, command = self._subject.where, report_of(self._subject)
        return Finding(
            fault, severity, where, tally.count, what, why, command, tuple(tally.examples), (("share", share),)
        )

    def facts(self) -> Mapping[str, Any]:
        """Shares of what was seen, by array."""
        return {
            name: {
                "pictures": seen.rows,
                "black": seen.black.count,
                "one_value": seen.one_value.count,
                "repeated": seen.repeated.count,
                "longest_still": seen.longest,
            }
            for name, seen in self._seen.items()
        }


def _run_lengths(marked: Bool[np.ndarray, " n"]) -> np.ndarray:
    """At the last place of each run of marked ones its length; 0 elsewhere."""
    places = np.arange(1, len(marked) + 1)
    since = np.maximum.accumulate(np.where(marked, 0, places))
    ends = marked & ~np.concatenate([marked[1:], [False]])
    return np.where(ends, places - since, 0)
