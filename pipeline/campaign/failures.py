"""What failed, in plain words: why, whether the cause is the task's, and the table at the end."""

from __future__ import annotations

import errno
import re
import shlex
import sys
import traceback
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from beartype.roar import BeartypeCallHintViolation

from pipeline.artifacts.runs import RUNS, SWEEPS, plain_json
from pipeline.campaign.notes import is_plain_text, is_text_list
from pipeline.command import Command, again, group_of, key_of, typed
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, CauseOfAll, PipelineError
from pipeline.machine.full_disk import SHARED_MEMORY, FullDisk, full_disk, mount_point
from pipeline.machine.secrets import without_secrets
from pipeline.wording import error_text, few, writable

FAILED, LOG = "failed.json", "run.log"

UNWRITABLE = (errno.EROFS, errno.EACCES)

MAKING_NOTHING = {"catalog", "gc", "plan", "status", "verify"}
"""Stages that make nothing: they write the record of their run alone."""

_ELSEWHERE = {"hydra.run.dir": "FOLDER"}

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
    trace = writable(without_secrets("".join(traceback.format_exception(error))))
    return Failure(stage, task, plain_message(error), trace, _is_shared(error))


def plain_message(error: BaseException) -> str:
    """An error in words for people: what is wrong and what to do. No secret is in it."""
    return writable(without_secrets(_message(error)))


def _message(error: BaseException) -> str:
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, BeartypeCallHintViolation):
        return _wrong_type(str(error))
    if full := full_disk(error, _root_folder()):
        return _no_room(full)
    if isinstance(error, OSError) and error.strerror:
        return _of_the_system(error)
    return f"{error_text(error)} (the traceback is in {FAILED} of the run folder)"


def _no_room(full: FullDisk) -> str:
    """Which disk is full, and what to do: another root helps only where it is the disk of `paths.root`."""
    here = full.disk is None or full.disk == mount_point(_root_folder())
    what = "The shared memory of this machine" if full.disk == SHARED_MEMORY else "The disk"
    where = full.file or full.disk or "see the log"
    message = (
        f"{what} is full ({where}){'' if here else '; paths.root lies elsewhere'}. Free some space and run the same "
        f"command again: it goes on where it stopped."
    )
    if not here:
        return f"{message}\n{_largest(full.disk or Path('/'))}"
    if _only_reads():
        return _no_room_to_read(where)
    return f"{message} Or begin on a larger disk: paths.root=FOLDER\nWhat can go: {_with_places('gc', _ELSEWHERE)}"


def _no_room_to_read(where: object) -> str:
    """What to do where a command that makes nothing has no room for the record of its own run."""
    elsewhere = again(**{key.replace(".", "__"): value for key, value in _ELSEWHERE.items()})
    lines = [
        f"The disk is full ({where}): there is no room for the record of this run, small as it is.",
        f"Keep that on another disk: {elsewhere}",
    ]
    if _stages() != {"gc"}:
        lines.append(f"What can go: {_with_places('gc', _ELSEWHERE)}")
    return "\n".join([*lines, _largest(_root_folder().absolute())])


def _largest(folder: Path) -> str:
    return f"What takes the space: du -xah {shlex.quote(str(folder))} | sort -h | tail"


def _only_reads() -> bool:
    """Whether the stages that were typed make nothing."""
    return bool(asked := _stages()) and asked <= MAKING_NOTHING


def _stages() -> set[str]:
    """The stages that were typed."""
    words = [word.partition("=")[2] for word in typed().words if key_of(word) == "stage"]
    return {name for word in words for name in re.findall(r"\w+", word)}


def _root_folder() -> Path:
    """`paths.root` as it was typed."""
    roots = [word.partition("=")[2] for word in typed().words if key_of(word) == "paths.root"]
    return Path(roots[-1].strip("'\"") if roots else "outputs").expanduser()


def _of_the_system(error: OSError) -> str:
    message = f"{error.strerror}: {error.filename or ''}".rstrip(": ")
    root = _root_folder().absolute()
    if error.errno not in UNWRITABLE or not isinstance(error.filename, str) or root not in Path(error.filename).parents:
        return message
    if Path(error.filename).relative_to(root).parts[0] == RUNS:
        message += f"\nTo read what is there, keep the record of the run elsewhere: {again(hydra__run__dir='FOLDER')}"
    return f"{message}\nTo make something, name another root: {again(paths__root='FOLDER')}"


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
    if full_disk(error, _root_folder()) is not None or (isinstance(error, OSError) and error.errno == errno.EROFS):
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


def read_failures(folder: Path) -> list[Failure]:
    """What `failed.json` of a job says; one failure where it cannot be understood, for something has failed."""
    path = folder / FAILED
    if not path.exists():
        return []
    entries = plain_json(path)
    if not isinstance(entries, list) or not all(map(_is_failure, entries)):
        return [Failure("", "", f"{path} is damaged: what failed cannot be told. Its log: {path.with_name(LOG)}", "")]
    known = [each.name for each in fields(Failure)]
    return [Failure(**{"traceback": "", **{key: entry[key] for key in known if key in entry}}) for entry in entries]


def forget_failures(sweep: Path) -> None:
    """Remove what jobs of an earlier sweep have left in a folder that was named by hand: it does not count for this."""
    for path in sweep.glob(f"*/{FAILED}"):
        if path.parent.name.isdigit():
            path.unlink(missing_ok=True)


def _is_failure(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and all(is_plain_text(entry.get(key)) for key in ("stage", "task", "message"))
        and is_text_list(entry.get("untried", []))
    )


def print_failures(folder: Path, several_jobs: bool = False) -> int:
    """Print the failures of a run or sweep as one table, and where a sweep is told of; returns how many there are.

    Failures of one stage for one reason share a row. A single one was printed already, and is repeated only where the
    lines of several jobs may have followed it.
    """
    failures = [failure for path in sorted(folder.glob(f"**/{FAILED}")) for failure in read_failures(path.parent)]
    if len(failures) > 1 or (failures and several_jobs):
        _print_table(len(failures), _rows(failures))
    if failures and several_jobs and folder.parts[-3:-2] == (SWEEPS,):
        print(f"Each task that is not done, and what finishes the rest: {_status_line(folder)}", file=sys.stderr)
    return len(failures)


def _status_line(sweep: Path) -> str:
    """The command that shows one sweep."""
    return _with_places("status", {"stage.status.campaign": "/".join(sweep.parts[-3:])})


def _with_places(stage: str, settings: dict[str, str]) -> str:
    """A command that needs, of the words that were typed, only those that say where records and artifacts lie."""
    places = tuple(word for word in typed().words if group_of(word) == "paths")
    return Command(stage, settings=settings).line(replace(typed(), words=places))


def _rows(failures: list[Failure]) -> list[tuple[str, str, str]]:
    """Stage, tasks and reason: `bins`, `3 tasks: toy/corner, toy/maze, toy/key`, `The disk is full ...`"""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in failures:
        tasks = groups.setdefault((each.stage, each.message), [])
        tasks += [each.task, *(f"{task} (not tried)" for task in each.untried)]
    return [(stage, _tasks_in_words(tasks), message) for (stage, message), tasks in groups.items()]


def _tasks_in_words(tasks: list[str]) -> str:
    """`3 tasks: toy/corner, toy/maze, toy/key`; `2 jobs` where what failed was before any task was known."""
    named = list(filter(None, tasks))
    if len(tasks) == 1:
        return tasks[0]
    return f"{len(tasks)} tasks: {few(named)}" if named else f"{len(tasks)} jobs"


def _print_table(count: int, rows: list[tuple[str, str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from pipeline.campaign.console import wide_console

    table = Table("stage", "task", "why", title=f"{count} failed", title_justify="left", show_lines=True)
    for stage, tasks, message in rows:
        table.add_row(stage, tasks, Text(message))
    wide_console(stderr=True).print(table)
