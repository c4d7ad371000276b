"""One input after another in a process of its own: what came of it, how long it took, how much memory it touched."""

from __future__ import annotations

import multiprocessing as mp
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from tests.fuzz.doors import DOORS, valid_files
from tests.fuzz.edits import Edit, apply

SECONDS, BYTES = 5.0, 300e6
"""What an input may take at most, beside what the process has before."""

GIVEN_UP, WARMING = 30.0, 300.0
ROOM = 8 * 2**30
"""Address space, beside what the process has before: a promise of more fails, before the machine does."""


@dataclass(frozen=True)
class Outcome:
    """`kind` is accepted, clear, raw (another error than ours, or a crash), slow or large; `words` the error."""

    kind: str
    words: str
    seconds: float
    bytes: float


class Measurer:
    """Reads inputs in a child process; a context manager."""

    def __enter__(self) -> Measurer:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.join()

    def _start(self) -> None:
        context = mp.get_context("spawn")  # a fork of a process with threads may hang
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(theirs,))
        self._child.start()
        theirs.close()
        self._warm: set[str] = set()
        assert self._pipe.poll(WARMING)
        self._pipe.recv()

    def outcome(self, door: str, edits: list[Edit]) -> Outcome:
        """What reading the edited files gives."""
        if (
            door not in self._warm
        ):  # its files are made, and what is imported and compiled at first is no fault of theirs
            self._warm.add(door)
            self._pipe.send((door, []))
            assert self._pipe.poll(WARMING)
            self._pipe.recv()
        self._pipe.send((door, edits))
        try:
            if self._pipe.poll(GIVEN_UP):
                return self._pipe.recv()
            words, kind = f"no end after {GIVEN_UP:g} s", "slow"
        except (EOFError, ConnectionError):
            self._child.join()
            words, kind = f"the process died with {self._child.exitcode}", "raw"
        self.__exit__()
        self._start()
        return Outcome(kind, words, GIVEN_UP, 0)


def _serve(pipe: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    pipe.send("ready")
    while True:
        pipe.send(measured(*pipe.recv()))


def measured(door: str, edits: list[Edit]) -> Outcome:
    """What reading the edited files gives, in this process."""
    with _folder() as folder:
        apply(edits, valid_files(door), folder)
        before, started = _peak_from_here(), time.process_time()  # of this process: others may keep the machine busy
        kind, words = _read(door, folder)
        seconds, touched = time.process_time() - started, _memory("VmHWM") - before
    if kind != "raw":
        kind = "slow" if seconds > SECONDS else "large" if touched > BYTES else kind
    return Outcome(kind, words, seconds, touched)


def _read(door: str, folder: Path) -> tuple[str, str]:
    try:
        DOORS[door].open(folder)
    except PipelineError as error:
        return "clear", f"{type(error).__name__}: {error}"
    except BaseException as error:
        import traceback

        at = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(each.filename).name}:{each.lineno}" for each in at if "/pipeline/" in each.filename]
        return "raw", f"{type(error).__name__}: {str(error)[:200]} at {' '.join(ours[-3:])}"
    return "accepted", ""


@contextmanager
def _folder() -> Iterator[Path]:
    name = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    try:
        yield Path(name)
    finally:
        shutil.rmtree(name)


def _peak_from_here() -> float:
    """Begin to measure the highest memory anew; returns what it is now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmHWM")


def _memory(name: str) -> float:
    line: Any = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(name))
    return float(line.split()[1]) * 1024
