"""The jobs of a sweep that Slurm has: one after the other as they end, and what each has given back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.core.utils import JobPaths, pickle_load

from pipeline.launchers.queue import FORGOTTEN, JobState, NoAnswer, cancel, states_of

PAUSE = 1.0, 30.0
"""Seconds between two questions to Slurm: at first, and when a sweep has run for long."""

SHARE = 0.05
"""Of the time that a sweep has run: how long it may take until an end is seen."""

GRACE = 10.0
"""Seconds that a result may take to be seen here after its job has ended on another host."""


@dataclass(frozen=True)
class Submitted:
    """One job of a sweep.

    Attributes:
        number: its place in the sweep.
        overrides: its words.
        label: what tells it from the others, for people.
        name: Slurm's number of it, such as `12_3`.
        paths: submitit's files.
    """

    number: int
    overrides: list[str]
    label: str
    name: str
    paths: JobPaths

    @property
    def array(self) -> str:
        """Slurm's number of the array that it belongs to."""
        return self.name.partition("_")[0]

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.paths.stdout

    def has_result(self) -> bool:
        """Whether its result can be read here. To list the folder makes a shared file system look again."""
        place = self.paths.result_pickle
        return place.parent.is_dir() and place in place.parent.iterdir()

    def result(self) -> Any:
        """What it gave back, or the text of the error that ended it; None where it ended without a word."""
        return pickle_load(self.paths.result_pickle)[1] if self.has_result() else None


def ended(jobs: Sequence[Submitted]) -> Iterator[tuple[Submitted, JobState]]:
    """Each job as soon as it is over, with Slurm's last word about it.

    One that could never run is taken back. What else keeps jobs waiting, and that Slurm does not answer, is said on the
    terminal.
    """
    left = {job.name: job for job in jobs}
    over: dict[str, float] = {}
    shown: set[str] = set()
    began = time.monotonic()
    while left:
        states = _asked(left.values(), shown)
        for name, job in list(left.items()) if states is not None else ():
            state = states.get(name, FORGOTTEN) if states else FORGOTTEN
            if state.hopeless:
                cancel(name)
                del left[name]
                yield job, state
            elif not state.ended:
                over.pop(name, None)
            elif job.has_result() or time.monotonic() - over.setdefault(name, time.monotonic()) > GRACE:
                del left[name]
                yield job, state
        if left:
            time.sleep(min(PAUSE[1], max(PAUSE[0], SHARE * (time.monotonic() - began))))


def _asked(jobs: Iterable[Submitted], shown: set[str]) -> dict[str, JobState] | None:
    """How it stands with the jobs; None where Slurm does not answer now. What was shown is not shown again."""
    try:
        states = states_of(dict.fromkeys(job.array for job in jobs))
    except NoAnswer as error:
        _show(f"Slurm does not answer, this command waits: {error}", shown)
        return None
    for obstacle, count in Counter(state.obstacle for state in states.values() if state.obstacle).items():
        _show(f"Slurm lets jobs wait ({count}): {obstacle}", shown, obstacle)
    return states


def _show(message: str, shown: set[str], key: str = "") -> None:
    if (key or message) not in shown:
        shown.add(key or message)
        print(message, flush=True)
