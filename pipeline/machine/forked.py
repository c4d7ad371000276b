"""Work in a forked child process: a crash in there, of whatever library, ends the child alone and has a reason.

The parent only forks and waits. It loads modules beforehand, so that children begin at once, and it starts no thread
in native code: those of a parent do not come along, and a library that counts on them would wait for ever.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from pipeline.machine.cgroups import memory_kills, memory_limit
from pipeline.machine.files import human_bytes
from pipeline.machine.interrupts import Stopped, answer_as_child
from pipeline.machine.processes import portable
from pipeline.machine.threads import keep_to_cores

PATIENCE = 10.0
"""Seconds in which a child that was told to end does so, before it is killed."""

RATHER_THIS = 300
"""Of 1000: where memory is short, the system ends a child and its workers rather than what waits for them."""

NOTE_BYTES = 4096
OURS = ("pipeline.", "stages.")

Note = Callable[[str], None]
"""Says what the child is doing, in a few words that stay when it is gone."""


@dataclass(frozen=True)
class Crash:
    """A child that ended without a word.

    Attributes:
        note: what it said last that it is doing.
        reason: how it ended.
        traceback: where its interpreter was, if that could still be said.
        for_memory: it was killed, for memory as far as one knows.
    """

    note: str
    reason: str
    traceback: str
    for_memory: bool = False


def can_fork() -> bool:
    """Whether a child can be forked here: on macOS the system's own libraries do not stand it."""
    return sys.platform == "linux"


def run_forked(work: Callable[[Note], None]) -> Crash | None:
    """Call `work` in a child of this process, and wait for it. Returns how it crashed, or None where it returned.

    An exception that it raises is raised here. Whatever ends the waiting, such as Stopped, ends the child, too.
    Raises OSError where no process can be started.
    """
    papers, kills = _Papers.new(), memory_kills()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    child = multiprocessing.get_context("fork").Process(target=_child, args=(work, papers))
    gc.freeze()  # else a child's collector touches every object, so that the system copies all of the memory
    try:
        child.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        child.join()
        return _ending(child, papers, kills)
    except BaseException:
        _end(child)
        raise
    finally:
        gc.unfreeze()
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        papers.close()
        child.close()


def _end(child: ForkProcess) -> None:
    if child.pid is not None:
        child.terminate()
        child.join(PATIENCE)
        child.kill()
        child.join()


@dataclass(frozen=True)
class _Papers:
    """Files without names that parent and child share: what the child does, where it crashed, its last word."""

    note: int
    trace: int
    word: int

    @staticmethod
    def new() -> _Papers:
        return _Papers(*(os.memfd_create(name) for name in ("note", "trace", "word")))

    def write_note(self, text: str) -> None:
        """In one write, and of one length, so that what was there before is gone."""
        os.pwrite(self.note, text.encode()[:NOTE_BYTES].ljust(NOTE_BYTES, b"\0"), 0)

    def read(self, paper: int) -> bytes:
        return os.pread(paper, os.fstat(paper).st_size, 0)

    def close(self) -> None:
        for paper in (self.note, self.trace, self.word):
            os.close(paper)


def _ending(child: ForkProcess, papers: _Papers, kills: int | None) -> Crash | None:
    if word := papers.read(papers.word):
        last = pickle.loads(word)
        if isinstance(last, BaseException):
            raise last
        _load(last)
        return None
    note = papers.read(papers.note).rstrip(b"\0").decode(errors="replace")
    trace = papers.read(papers.trace).decode(errors="replace")
    status = child.exitcode or 0
    return Crash(note, _reason(status, kills, trace), trace, for_memory=status == -signal.SIGKILL)


def _load(names: list[str]) -> None:
    """What a child has loaded, the next ones find here."""
    for name in names:
        import_module(name)


def _reason(status: int, kills: int | None, trace: str) -> str:
    now = memory_kills()
    if status == -signal.SIGKILL and kills is not None and now is not None and now > kills:
        limit = memory_limit()
        of_limit = f" The limit of all that runs in here is {human_bytes(limit)}." if limit else ""
        return (
            f"The process was killed for memory (SIGKILL; the system counts one such kill more than before).{of_limit}"
        )
    if status == -signal.SIGKILL:
        return "The process was killed (SIGKILL): often the system's answer to too little memory."
    if status == -signal.SIGTERM or status == 128 + signal.SIGTERM:
        return "The process was told to end (SIGTERM), by the system or by somebody else."
    if status >= 0:
        return f"The process ended with exit status {status} and without a word: a library or a simulator has ended it."
    with suppress(ValueError):
        place = _innermost(trace)
        return f"The process crashed ({signal.Signals(-status).name}){f' in {place}' if place else ''}."
    return f"The process crashed (signal {-status})."


def _innermost(trace: str) -> str:
    """`step of envs/toy.py, line 12`: the first line of the interpreter's last words that names a place."""
    for line in trace.splitlines():
        if line.startswith('  File "'):
            file, _, place = line.removeprefix('  File "').partition('", line ')
            number, _, function = place.partition(" in ")
            return f"{function} of {'/'.join(Path(file).parts[-2:])}, line {number}"
    return ""


def _child(work: Callable[[Note], None], papers: _Papers) -> None:
    """All that happens in the child. Its last word is the names of the modules that it has loaded, or its error."""
    answer_as_child()
    faulthandler.enable(papers.trace, all_threads=False)
    with suppress(OSError, ValueError):  # no such file, or it would be made less likely
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(min(1000, int(score.read_text()) + RATHER_THIS)))
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    keep_to_cores(is_job=True)
    before = set(sys.modules)
    word: Any
    try:
        work(papers.write_note)
        word = sorted(name for name in set(sys.modules) - before if name.startswith(OURS))
    except Stopped as stopped:
        sys.exit(stopped.status)
    except Exception as error:
        word = portable(error)
    os.pwrite(papers.word, pickle.dumps(word), 0)


def _end_with_parent() -> None:
    """End this process when nobody waits for it any more: its parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGKILL)
