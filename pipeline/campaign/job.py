"""What a job and a sweep write of themselves into their folders, for whoever asks later how they stand.

A job keeps `job.json`: what it is, how far it has come, how it ended. A sweep writes `campaign.json`: which jobs it has
and, where the command itself fails, why. Both touch the file `alive` while they run, so that a process that is gone is
known by its silence, on any host. They are notes: not flushed to disk, and a run goes on where they cannot be written.
"""

from __future__ import annotations

import json
import logging
import platform
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.artifacts.runs import JOB
from pipeline.command import typed
from pipeline.machine.secrets import words_without_secrets

log = logging.getLogger(__name__)

CAMPAIGN, ALIVE = "campaign.json", "alive"
BEAT_SECONDS = 10.0
"""How often a running job touches its `alive`."""

RUNNING, DONE, JOB_FAILED, STOPPED = "running", "done", "failed", "stopped"
"""States of a job. One that is killed leaves `running`, and an `alive` that nobody touches any more."""


@dataclass
class JobRecord:
    """`job.json` in the folder of one job.

    Attributes:
        facts: what is in the file. `over` counts the tasks that are over, in their order; `at` are the stage and the
            task that it is at, none once it has ended in order.
    """

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    _warned: bool = False

    def begin(self) -> None:
        """What is known before the settings are composed."""
        self.facts = {"state": RUNNING, "words": words_without_secrets(typed().words), **_here()}
        self.facts |= {"ended": None, "domain": "", "stages": [], "tasks": [], "over": 0, "at": None}
        self._write()

    def asks(self, domain: str, stages: Sequence[str], tasks: Sequence[str]) -> None:
        """What it is to do: these stages for these tasks of the domain."""
        self.facts |= {"domain": domain, "stages": [*stages], "tasks": [*tasks]}
        self._write()

    def at(self, stage: str, task: str) -> None:
        """A stage of a task, `domain/task`, begins."""
        self.facts["at"] = [stage, task]
        self._write()

    def over(self, tasks: int) -> None:
        """The first so many tasks are done or have failed."""
        self.facts["over"] = tasks

    def end(self, state: str) -> None:
        """It has ended: DONE, JOB_FAILED or STOPPED."""
        self.facts |= {"state": state, "ended": _now()} | ({"at": None} if state == DONE else {})
        self._write()

    def _write(self) -> None:
        try:
            write_note(self.folder / JOB, self.facts)
        except OSError as error:
            if not self._warned:
                log.warning("%s is not up to date (%s): stage=status cannot tell of this run", JOB, error.strerror)
            self._warned = True


@contextmanager
def job_record(folder: Path) -> Iterator[JobRecord]:
    """The record of the job that runs in this process, to be ended by it; a job that is stopped or raises ends here."""
    record = JobRecord(folder)
    stop = show_life(folder)  # before the record says that it runs, and until it says how that ended
    try:
        record.begin()
        yield record
    except KeyboardInterrupt:
        record.end(STOPPED)
        raise
    except BaseException:
        record.end(JOB_FAILED)
        raise
    finally:
        stop()


def job_crashed(folder: Path) -> None:
    """Note in the record of a job that it has failed, which it could not do itself."""
    _end_of_another(folder, JOB_FAILED)


def job_stopped(folder: Path) -> None:
    """Note in the record of a job that it was stopped, unless it had ended before."""
    _end_of_another(folder, STOPPED, only_of=RUNNING)


def _end_of_another(folder: Path, state: str, only_of: str | None = None) -> None:
    """Note how a job has ended that cannot do it itself; only where its record says one state, if one is given."""
    path = folder / JOB
    # it had no record yet, or none that can be understood: `failed.json` says enough
    with suppress(OSError, ValueError, TypeError, KeyError):
        facts = json.loads(path.read_bytes())
        if only_of in (None, facts["state"]):
            write_note(path, {**facts, "state": state, "ended": _now()})
    (folder / ALIVE).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Sweep:
    """The sweep that this process runs, what its `campaign.json` says, and what ends its sign of life."""

    folder: Path
    facts: dict[str, Any]
    over: Callable[[], None]


_sweep: _Sweep | None = None


def begin_campaign(
    folder: Path, words: Sequence[str], jobs: Sequence[Sequence[str]] | None, launcher: str
) -> Callable[[], None]:
    """Write `campaign.json` of a sweep that begins, and show that it lives; what it returns ends that.

    `words` are what was typed, `jobs` the words of each job; None where only the sweeper knows them.
    """
    global _sweep
    listed = None if jobs is None else [words_without_secrets(each) for each in jobs]
    facts = {"words": words_without_secrets(words), "launcher": launcher, **_here(), "jobs": listed}
    stop = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stop = show_life(folder)
        write_note(folder / CAMPAIGN, facts)
    except OSError as error:
        log.warning("%s cannot be written (%s): stage=status cannot tell which jobs it has", CAMPAIGN, error.strerror)
    _sweep = _Sweep(folder, facts, stop or show_life(folder))
    return _sweep.over


def campaign_failed(message: str, instead: Sequence[str] = ()) -> None:
    """Note in `campaign.json` why the command of a sweep has failed, as where a cluster takes no jobs: it is over.

    The first line of `message` is kept. `instead` are the words of a command that does better, where one is known.
    Nothing where this process has begun no sweep.
    """
    if _sweep is None:
        return
    why = {"error": message.strip().partition("\n")[0], "instead": words_without_secrets(instead)}
    with suppress(OSError):  # the message itself is on the terminal
        write_note(_sweep.folder / CAMPAIGN, {**_sweep.facts, **why})
    _sweep.over()


def show_life(folder: Path) -> Callable[[], None]:
    """Touch `alive` in a folder again and again, in a thread, until the returned function is called: it removes it."""
    path, ended = folder / ALIVE, threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            _touch(path)

    _touch(path)
    thread = threading.Thread(target=beat, daemon=True, name="alive")
    thread.start()

    def stop() -> None:
        ended.set()
        thread.join()
        with suppress(OSError):
            path.unlink(missing_ok=True)

    return stop


def _touch(path: Path) -> None:
    with suppress(OSError):  # no room, or no folder any more: the silence tells
        path.touch()


def write_note(path: Path, value: Any) -> None:
    """Write JSON that is whole or not there, without waiting for the disk: a power cut may lose it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _here() -> dict[str, Any]:
    """Where and when it begins, and how run.py is called there."""
    return {"script": typed().script, "folder": str(Path.cwd()), "host": platform.node(), "started": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
