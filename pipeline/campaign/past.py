"""A campaign of the past or of now: its jobs, how their tasks stand, and the words that finish what is left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pipeline.campaign.job import DONE, JOB_FAILED
from pipeline.command import group_of, key_of

LATER, TO_COME, MISSING = "done later", "to come", "missing"
"""States of a task besides DONE, RUNNING and JOB_FAILED: finished by the same command later; not begun by a campaign
that goes on; not done, and nobody is at it."""

NO_MATTER = ("task", "sweep", "cluster", "hydra", "paths", "workers", "force")
"""Words that the same command may have otherwise."""

Key = tuple[frozenset[str], str]
"""What a task's result depends on: the words of its job, and its name."""


@dataclass(frozen=True)
class TaskState:
    """How it stands with one task of a job, or with the job where it has no tasks.

    Attributes:
        label: `domain/task`.
        state: DONE, LATER, RUNNING, TO_COME, JOB_FAILED or MISSING.
        why: one line, for all but those that are done.
        stage: the one that failed, or is at work.
    """

    label: str
    state: str
    why: str = ""
    stage: str = ""


@dataclass(frozen=True)
class PastJob:
    """One job of a campaign, that has run, runs or is to run.

    Attributes:
        words: its own words, as a command that runs it alone has them.
        host: where it runs or ran; empty where that is not known.
    """

    folder: Path
    words: tuple[str, ...]
    host: str
    tasks: tuple[TaskState, ...]

    @property
    def log(self) -> Path | None:
        """Where its messages are; its folder where it has written none there; None where it has never begun."""
        file = self.folder / "run.log"
        return file if file.is_file() else self.folder if self.folder.is_dir() else None

    @property
    def unfinished(self) -> bool:
        """Whether somebody must run it again."""
        return any(task.state in (JOB_FAILED, MISSING) for task in self.tasks)

    @cached_property
    def _matter(self) -> frozenset[str]:
        return frozenset(word for word in self.words if group_of(word) not in NO_MATTER)

    @cached_property
    def _whole(self) -> Key:
        """Of the job as a whole, by what its words say of tasks."""
        return self._matter, " ".join(word for word in self.words if key_of(word) == "task")

    def finished(self) -> Iterator[Key]:
        """What it has finished."""
        if all(task.state == DONE for task in self.tasks):
            yield self._whole
        yield from ((self._matter, task.label) for task in self.tasks if task.state == DONE)

    def after(self, finished: set[Key]) -> PastJob:
        """The same, where later jobs have finished this."""
        if not self.unfinished:
            return self
        whole = self._whole in finished
        return replace(self, tasks=tuple(self._after(task, whole, finished) for task in self.tasks))

    def _after(self, task: TaskState, whole: bool, finished: set[Key]) -> TaskState:
        if task.state in (JOB_FAILED, MISSING) and (whole or (self._matter, task.label) in finished):
            return replace(task, state=LATER)
        return task


@dataclass(frozen=True)
class PastCampaign:
    """One sweep, or one single run.

    Attributes:
        words: what was typed.
        script: how run.py was called, from `place`.
        host: where it was typed.
        is_sweep: it has several jobs, each in a folder of its own.
        goes_on: the command itself still runs.
        error: why the command itself has failed, as where a cluster takes no jobs; one line.
        instead: the words of a command that does better then, where one is known.
    """

    folder: Path
    words: tuple[str, ...]
    script: str
    place: str
    host: str
    is_sweep: bool
    goes_on: bool
    jobs: tuple[PastJob, ...]
    error: str = ""
    instead: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell of it."""
        return not self.jobs and not self.error

    @property
    def name(self) -> str:
        """`sweeps/2026-11-29/02-16-39-385018`"""
        return "/".join(self.folder.parts[-3:])

    def count(self, *states: str) -> int:
        """How many of its tasks are in one of these states."""
        return sum(task.state in states for job in self.jobs for task in job.tasks)

    def hosts(self) -> list[str]:
        """Where its jobs ran, each once."""
        return list(dict.fromkeys(job.host for job in self.jobs if job.host))

    def remaining(self) -> tuple[str, ...]:
        """The words that finish what is not done and not at work; none where nothing is left.

        A sweep is narrowed to those jobs where they are all combinations of some values; else it is repeated as it was
        typed, or as it had better been, and finds what is finished.
        """
        words = self.instead or self.words
        left = [job for job in self.jobs if job.unfinished]
        if not left and self.jobs:
            return ()
        if not self.is_sweep or len(left) == len(self.jobs):
            return words
        settings = [_by_key(job.words) for job in left]
        varying = _varying([job.words for job in self.jobs])
        values = {key: [*dict.fromkeys(each.get(key, "") for each in settings)] for key in varying}
        known = all(key in each for each in settings for key in values)
        if not known or math.prod(map(len, values.values())) != len(left):
            return words
        kept = [word for word in words if key_of(word) not in values]
        prefixes = {key_of(word): word.partition("=")[0] for word in left[0].words}
        return (*kept, *(f"{prefixes[key]}={','.join(each)}" for key, each in values.items()))


def _by_key(words: Sequence[str]) -> dict[str, str]:
    return {key_of(word): word.partition("=")[2] for word in words}


def _varying(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The settings in which the jobs of a sweep differ."""
    all_of_them = [_by_key(words) for words in jobs]
    keys = dict.fromkeys(key for each in all_of_them for key in each)
    return [key for key in keys if len({each.get(key) for each in all_of_them}) > 1]
