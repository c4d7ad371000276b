"""Every error a person can cause or meet: what was wanted, where, what is there instead, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pipeline.command import Command, Typed, again, typed, with_name


class PipelineError(Exception):
    """Base of all errors that are shown as a plain message, without a traceback."""


class InvalidInput(PipelineError, ValueError):
    """A setting, a file or a name that cannot be used."""


class InvalidEpisode(InvalidInput):
    """An episode whose arrays break an invariant."""


class UnknownName(InvalidInput, KeyError):
    """A task, domain or dataset that does not exist; `known` are the names of those that do, where they were listed."""

    known: tuple[str, ...] = ()

    def __str__(self) -> str:  # KeyError would print the message with quotes around it
        return str(self.args[0])


class IdentityMismatch(InvalidInput):
    """The same dataset name was asked for with other settings."""


class ArtifactNotFound(PipelineError, FileNotFoundError):
    """An input that no stage has made yet; `command` makes it.

    The command knows the domain's name alone where no command line is known; who knows more (`domain.words`) sets it
    before the message is shown. `instead` is a last line: what can be done without that input. Without a command the
    message says all: so torch raises the error of a worker process again.
    """

    def __init__(self, message: str, command: Command | None = None, instead: str = "") -> None:
        super().__init__(message)
        self.command, self.instead = command or Command(), instead

    def __reduce__(self) -> tuple[type[ArtifactNotFound], tuple[str, Command, str]]:
        return type(self), (str(self.args[0]), self.command, self.instead)

    def __str__(self) -> str:
        if self.command == Command():
            return str(self.args[0])
        message = f"{self.args[0]}\nMake it first: {self.command.line()}"
        instead = f"\n{self.instead}" if self.instead else ""
        if Typed() == typed():
            return f"{message}\nOr add inputs=build.{instead}"
        maker = {key: value for key, value in self.command.settings.items() if key in ("policy", "source")}
        return f"{message}\nOr make all that is missing on the way: {again(inputs='build', **maker)}{instead}"


class DamagedArtifact(PipelineError):
    """Files of an artifact that do not match its manifest. `remake` removes it and makes it again, if known."""

    def __init__(self, message: str, remake: str = "") -> None:
        super().__init__(message)
        self.remake = remake

    def __reduce__(self) -> tuple[type[DamagedArtifact], tuple[str, str]]:
        return type(self), (str(self.args[0]), self.remake)

    def __str__(self) -> str:
        again = f"\nRemove it and make it again: {self.remake}" if self.remake else ""
        return f"{self.args[0]}{again}"


class DigestMismatch(PipelineError):
    """A rebuild with the same inputs and settings gave other content."""


class LostLease(PipelineError):
    """Another process took over the work after this one had stopped refreshing its lock."""


class NotStoredYet(PipelineError):
    """An episode is kept in the draft of a log, but its way from there into the dataset failed. Nothing is lost."""


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
    """An UnknownName that lists the nearest known names (or all of them when there are few).

    Where the name was typed, the message holds the same command with the nearest name in its place.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if len(names) <= 12:
        there = f"Known: {', '.join(names) or 'none'}."
    elif near:
        there = f"Nearest: {', '.join(near)}."
    else:
        there = f"{len(names)} are known, among them {', '.join(names[:6])}."
    command = with_name(name, near[0]) if near else ""
    meant = f"\nIf you meant {near[0]}: {command}" if command else ""
    error = UnknownName(f"There is no {kind} named {name or repr(name)}. {there}{' ' + hint if hint else ''}{meant}")
    error.known = tuple(names)
    return error
