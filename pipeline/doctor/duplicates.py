"""Episodes that a dataset holds more than once: copies, and the same trajectory under another seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.commands import leave_out
from pipeline.doctor.findings import Finding, Severity
from pipeline.doctor.prints import Prints, same, trajectories_in
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import UNKNOWN
from pipeline.wording import how_many

SHOWN = 5
"""Groups of equal episodes that are named."""

FEW = 0.01
"""Share of the episodes; where fewer have a trajectory of another, it is worth a note and no more."""

Group = Int[np.ndarray, " k"]


class DuplicatesCheck(Check):
    """A check that keeps what tells the episodes of a dataset apart: 56 bytes of each."""

    name = "duplicates"

    def __init__(self, subject: Subject, thresholds: Thresholds) -> None:
        self._subject = subject
        self._pieces: list[Prints] = []

    def see(self, block: EpisodeBlock) -> None:
        """Learn the episodes of a block."""
        found = trajectories_in(block.steps, block.ends)
        self._pieces.append(Prints(block.once("digest"), found, block.once("seed")))

    @property
    def prints(self) -> Prints:
        """Of all episodes that were seen."""
        self._pieces = [Prints.joined(self._pieces)]
        return self._pieces[0]

    def findings(self) -> Iterator[Finding]:
        """Copies first."""
        yield from duplicates_in(self._subject, self.prints)


def duplicates_in(subject: Subject, prints: Prints) -> Iterator[Finding]:
    """Copies of episodes, and trajectories that are there more than once although their episodes are not equal.

    A copy with a known seed was recorded or joined twice: an error. Without seeds nobody knows whether the simulator
    simply repeated itself, as a deterministic one does: a warning. So is the same trajectory under several seeds,
    where it is no rarity.
    """
    copies = list(same(prints.digests))
    if copies:
        yield _copies(subject, prints, copies)
    firsts = np.ones(len(prints.seeds), np.bool_)
    for group in copies:
        firsts[group[1:]] = False
    kept = np.flatnonzero(firsts)
    again = [kept[group] for group in same(prints.trajectories[kept])]
    if again:
        yield _repeats(subject, prints, again)


def _copies(subject: Subject, prints: Prints, groups: list[Group]) -> Finding:
    known = any(prints.seeds[group[0]] != UNKNOWN for group in groups)
    number, total = _superfluous(groups), len(prints.seeds)
    return Finding(
        "duplicate_episodes",
        "error" if known else "warning",
        subject.where,
        number,
        f"{how_many(number, 'episodes')} of {total:,} {_copy(number)}, to the last bit"
        + (", seeds too." if known else "; the source kept no seeds, so it may have played them twice."),
        "A copied episode counts twice in training and in every mean; a split can put one copy on either side.",
        command=leave_out(subject, _later(groups), number),
        examples=_named(groups),
        numbers=(("share", number / total),),
    )


def _repeats(subject: Subject, prints: Prints, groups: list[Group]) -> Finding:
    number, total = _superfluous(groups), len(prints.seeds)
    twice = sum(_has_known_twice(prints.seeds[group]) for group in groups)
    severity: Severity = "error" if twice else "warning" if number > FEW * total else "note"
    return Finding(
        "repeated_trajectories",
        severity,
        subject.where,
        number,
        f"{how_many(number, 'episodes')} of {total:,} {_repeat(number)} another one: the same actions, and the same "
        "first, middle and last observation, "
        + ("with the same seed." if twice else "under another seed, or with other rewards or infos."),
        "The dataset holds fewer different episodes than it seems to; splits by episode leak them.",
        command=leave_out(subject, _later(groups), number),
        examples=_named(groups),
        numbers=(("share", number / total), ("same_seed", float(twice))),
    )


def _has_known_twice(seeds: Int[np.ndarray, " k"]) -> bool:
    known = seeds[seeds != UNKNOWN]
    return len(np.unique(known)) < len(known)


def _later(groups: Sequence[Group]) -> list[int]:
    """All but the first episode of each group."""
    return [number for group in groups for number in group[1:].tolist()]


def _superfluous(groups: Sequence[Group]) -> int:
    return sum(len(group) - 1 for group in groups)


def _named(groups: Sequence[Group]) -> tuple[str, ...]:
    return tuple(_listed(group) for group in groups[:SHOWN])


def _listed(group: Group) -> str:
    shown = ", ".join(map(str, group[:SHOWN].tolist()))
    return f"episodes {shown}" + (f" and {len(group) - SHOWN} more" if len(group) > SHOWN else "")


def _copy(number: int) -> str:
    return "is a copy of another one" if number == 1 else "are copies of others"


def _repeat(number: int) -> str:
    return "repeats" if number == 1 else "repeat"
