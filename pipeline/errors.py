"""Every error a person can cause or meet: what was wanted, where, what is there instead, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PipelineError(Exception):
    """Base of all errors that are shown as a plain message, without a traceback."""


class InvalidInput(PipelineError, ValueError):
    """A setting, a file or a name that cannot be used."""


class InvalidEpisode(InvalidInput):
    """An episode whose arrays break an invariant."""


class UnknownName(InvalidInput, KeyError):
    """A task, domain or dataset that does not exist."""

    def __str__(self) -> str:  # KeyError would print the message with quotes around it
        return str(self.args[0])


class IdentityMismatch(InvalidInput):
    """The same dataset name was asked for with other settings."""


class ArtifactNotFound(PipelineError, FileNotFoundError):
    """An input that no stage has made yet: `stage` makes it, with the settings `overrides`, for `task` of `domain`.

    `domain` is what a command says to mean the domain. Who raises this may know its name alone (`domain=gym`); who
    knows more sets it before the message is shown.
    """

    def __init__(self, message: str, domain: str, stage: str, overrides: tuple[str, ...] = (), task: str = "") -> None:
        super().__init__(message)
        self.domain = domain
        self.stage = stage
        self.overrides = overrides
        self.task = task

    def __str__(self) -> str:
        command = " ".join([f"stage={self.stage}", self.domain, f"task={self.task}", *self.overrides])
        return f"{self.args[0]}\nMake it first: python run.py {command}\nOr add inputs=build."


class DamagedArtifact(PipelineError):
    """Files of an artifact that do not match its manifest."""


class DigestMismatch(PipelineError):
    """A rebuild with the same inputs and settings gave other content."""


class LostLease(PipelineError):
    """Another process took over the work after this one had stopped refreshing its lock."""


class InUse(PipelineError):
    """Another process holds what was asked for, and this one was not to wait longer."""


class TaskFailed(PipelineError):
    """A simulator or worker process failed; finished episodes are kept."""


class CauseOfAll(PipelineError):
    """A failure whose cause lies outside the task: no task that comes after it could do better."""


class InvalidSettings(InvalidInput, CauseOfAll):
    """Settings that no part can be built of, whichever task is asked for."""


class HubError(PipelineError):
    """A hub that refused, failed, or could not be reached."""


class Unreachable(HubError, InvalidInput, CauseOfAll):
    """A hub or a bucket that does not answer, however often it is tried."""


class NoRenderer(PipelineError):
    """Nothing on this machine can draw the simulator's pictures."""


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownName:
    """An UnknownName that lists the nearest known names (or all of them when there are few)."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if len(names) <= 8:
        there = f"Known: {', '.join(names) or 'none'}."
    elif near:
        there = f"Nearest: {', '.join(near)}."
    else:
        there = f"{len(names)} are known, among them {', '.join(names[:6])}."
    return UnknownName(f"There is no {kind} named {name}. {there}{' ' + hint if hint else ''}")
