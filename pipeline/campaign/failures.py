"""What failed, in plain words: why, whether the cause is the task's, and the table at the end."""

from __future__ import annotations

import errno
import json
import re
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from beartype.roar import BeartypeCallHintViolation

from pipeline.command import Command
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, CauseOfAll, PipelineError
from pipeline.wording import few

FAILED = "failed.json"

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
UNWRITABLE = (errno.EROFS,)

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "None": "null",
    "list[str]": "a list of texts",
}
"""Types as people say them."""

_VIOLATION = re.compile(r"parameter (?P<key>\w+)=(?P<value>.+?) violates type hint (?P<hint>.+?), as ", re.DOTALL)


@dataclass(frozen=True)
class Failure:
    """One stage of one task that did not finish.

    Attributes:
        message: why, in plain words.
        shared: the cause lies outside the task: no other task could have done better.
        untried: the tasks that were left out for that.
    """

    stage: str
    task: str
    message: str
    traceback: str
    shared: bool = False
    untried: list[str] = field(default_factory=list)

    def line(self, same: Failure | None = None) -> str:
        """A text for the log. `same` is an earlier failure for the same reason, which is then not repeated."""
        label = " ".join(word for word in (self.stage, self.task) if word)
        message = self.message if same is None or not label else f"as {same.stage} {same.task}"
        return f"{label} failed: {message}" if label else message

    def before(self, tasks: list[str]) -> Failure:
        """The same, with the tasks that were not tried after it."""
        return replace(self, untried=tasks)


def failure_of(stage: str, task: str, error: Exception, domain: Domain | None) -> Failure:
    """Why a stage of a task did not finish, in plain words."""
    error = _root(error)
    if isinstance(error, ArtifactNotFound) and domain is not None:
        error.command = replace(error.command, domain=domain.words)
    trace = "".join(traceback.format_exception(error))
    return Failure(stage, task, plain_message(error), trace, _is_shared(error))


def plain_message(error: BaseException) -> str:
    """An error in words for people: what is wrong and what to do."""
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, BeartypeCallHintViolation):
        return _wrong_type(str(error))
    if isinstance(error, OSError):
        return _of_the_system(error)
    return f"{type(error).__name__}: {error} (the traceback is in {FAILED} of the run folder)"


def _of_the_system(error: OSError) -> str:
    message = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
    if error.errno in NO_ROOM or "No space left" in message:
        return (
            f"The disk is full ({error.filename or 'see the log'}). Free some space and run the same command "
            f"again: it goes on where it stopped. Or begin on a larger disk: paths.root=FOLDER\n"
            f"What can go: {Command('gc').line()}"
        )
    return message


def _wrong_type(message: str) -> str:
    """`episodes=abc is of the wrong type: it must be a whole number or null.`"""
    found = _VIOLATION.search(message)
    if found is None:
        return f"A setting is of the wrong type. {message.removeprefix('Function ')}"
    hints = [re.sub(r"<class '(?:builtins\.)?(\w+)'>", r"\1", each) for each in found["hint"].split(" | ")]
    wanted = " or ".join(KINDS.get(hint, hint) for hint in hints)
    value = found["value"].strip("'\"")
    return f"{found['key']}={value} is of the wrong type: it must be {wanted}."


def _is_shared(error: Exception) -> bool:
    """Whether the cause lies outside the task: settings that hold for all of them, a full disk, no network."""
    if isinstance(error, OSError) and error.errno in (*NO_ROOM, *UNWRITABLE):
        return True
    return isinstance(error, (CauseOfAll, BeartypeCallHintViolation))


def _root(error: Exception) -> Exception:
    """The plain error inside what a library wrapped around it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, (PipelineError, BeartypeCallHintViolation)):
            return inner
        inner = inner.__cause__
    return error


def print_failures(folder: Path) -> int:
    """Print the failures of a run or sweep as one table (a single one was printed already); returns how many.

    Failures of one stage for one reason share a row.
    """
    entries = [entry for path in sorted(folder.glob(f"**/{FAILED}")) for entry in json.loads(path.read_text())]
    if len(entries) > 1:
        _print_table(len(entries), _rows(entries))
    return len(entries)


def _rows(entries: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Stage, tasks and reason: `bins`, `3 tasks: toy/corner, toy/maze, toy/key`, `The disk is full ...`"""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        tasks = groups.setdefault((entry["stage"], entry["message"]), [])
        tasks += [entry["task"], *(f"{task} (not tried)" for task in entry["untried"])]
    return [
        (stage, tasks[0] if len(tasks) == 1 else f"{len(tasks)} tasks: {few(tasks)}", message)
        for (stage, message), tasks in groups.items()
    ]


def _print_table(count: int, rows: list[tuple[str, str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from pipeline.campaign.console import wide_console

    table = Table("stage", "task", "why", title=f"{count} failed", title_justify="left", show_lines=True)
    for stage, tasks, message in rows:
        table.add_row(stage, tasks, Text(message))
    wide_console(stderr=True).print(table)
