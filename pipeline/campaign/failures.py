"""What failed: told at once, kept in the run folder, shown as a table at the end."""

from __future__ import annotations

import errno
import json
import logging
import os
import traceback
from dataclasses import dataclass
from pathlib import Path

from beartype.roar import BeartypeCallHintViolation
from rich.table import Table
from rich.text import Text

from pipeline.campaign.console import wide_console
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, PipelineError

log = logging.getLogger(__name__)

FAILED = "failed.json"


@dataclass(frozen=True)
class Failure:
    """One stage of one task that did not finish."""

    stage: str
    task: str
    message: str
    traceback: str


def print_failures(folder: Path) -> int:
    """Print every failure of a run or sweep as one table (a single one was printed already); returns how many."""
    entries = [entry for path in sorted(folder.glob(f"**/{FAILED}")) for entry in json.loads(path.read_text())]
    if len(entries) > 1:
        table = Table("stage", "task", "why", title=f"{len(entries)} failed", title_justify="left", show_lines=True)
        for entry in entries:
            table.add_row(entry["stage"], entry["task"], Text(entry["message"]))
        wide_console(stderr=True).print(table)
    return len(entries)


def failure_of(stage: str, task: str, error: Exception, domain: Domain | None) -> Failure:
    """Log why a stage of a task did not finish, in plain words, and give it for the table."""
    error = _root(error)
    if isinstance(error, ArtifactNotFound) and domain is not None:
        error.domain = domain.words
    message = str(error)
    if isinstance(error, OSError) and not isinstance(error, PipelineError):
        message = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
        if error.errno == errno.ENOSPC or "No space left" in message:
            message = (
                f"The disk is full ({error.filename or 'see the log'}). Free some space, or set paths.root to a larger "
                f"disk, and run the same command again: it goes on where it stopped."
            )
    elif isinstance(error, BeartypeCallHintViolation):
        message = f"A setting is of the wrong type. {str(error).removeprefix('Function ')}"
    elif not isinstance(error, PipelineError):
        message = f"{type(error).__name__}: {error} (the traceback is in {FAILED} of the run folder)"
    trace = "".join(traceback.format_exception(error))
    log.error("%s %s failed: %s", stage, task, message)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        log.error("%s", trace)
    return Failure(stage, task, message, trace)


def _root(error: Exception) -> Exception:
    """The plain error inside what a library wrapped around it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, PipelineError):
            return inner
        inner = inner.__cause__
    return error
