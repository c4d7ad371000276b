"""One progress display for long work: bars on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger(__name__)

LINE_SECONDS = 10.0

Advance = Callable[[int], None]

_display: Progress | None = None
"""The bars that are on the terminal now; there is one display a process, and log lines go above it."""


class ConsoleHandler(logging.Handler):
    """Prints log messages on standard output; above the bars while there are some, instead of through them."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if _display is None:
            print(text, flush=True)
        else:
            _display.console.print(text, markup=False, highlight=False, soft_wrap=True)


class RunLog(logging.FileHandler):
    """Writes log messages into a file. Where that fails, a full disk, one line says so and the run goes on."""

    _failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._failed:
            self._failed = True
            print(f"{self.baseFilename} lacks messages from here on: {error.strerror}", file=sys.stderr)


@contextmanager
def progress(stage: str, task: str, unit: str, total: int | None, done: int = 0) -> Iterator[Advance]:
    """Show how far `stage` of `task` is. Call the yielded function with how many units were finished."""
    shown = _bar(stage, task, unit, total, done) if sys.stderr.isatty() else _lines(stage, task, unit, total, done)
    with shown as advance:
        yield advance


@contextmanager
def over_tasks(names: list[str]) -> Iterator[Iterator[str]]:
    """Go through the tasks of one run, with a bar over all of them where there is more than one."""
    if len(names) < 2 or not sys.stderr.isatty():
        yield iter(names)
        return
    with progress("all", "tasks", "tasks", len(names)) as advance:

        def walk() -> Iterator[str]:
            for name in names:
                yield name
                advance(1)

        yield walk()


@contextmanager
def _bar(stage: str, task: str, unit: str, total: int | None, done: int) -> Iterator[Advance]:
    with _shared_display() as display:
        start, seen = time.monotonic(), 0
        row = display.add_task(f"{stage} {task}", total=total, completed=done, unit=unit, rate="")

        def advance(count: int) -> None:
            nonlocal seen
            seen += count
            display.update(row, advance=count, rate=_rate(seen, unit, time.monotonic() - start))

        yield advance
        display.remove_task(row)


@contextmanager
def _shared_display() -> Iterator[Progress]:
    """The display that is up, or a new one for as long as this block lasts."""
    global _display
    if _display is not None:
        yield _display
        return
    # here, for most commands end before anything has to be shown, and the bars take long to load
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}, {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        _display = display
        try:
            yield display
        finally:
            _display = None


@contextmanager
def _lines(stage: str, task: str, unit: str, total: int | None, done: int) -> Iterator[Advance]:
    start = last = time.monotonic()
    seen = 0

    def advance(count: int) -> None:
        nonlocal seen, last
        seen += count
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            of = f" of {total:,}" if total else ""
            left = f", {(total - done - seen) * (now - start) / max(seen, 1):.0f} s left" if total else ""
            rate = _rate(seen, unit, now - start)
            log.info("%s %s: %s%s %s, %s%s", stage, task, f"{done + seen:,}", of, unit, rate, left)

    yield advance


def _rate(seen: int, unit: str, seconds: float) -> str:
    return f"{seen / max(seconds, 1e-9):,.1f} {unit}/s"
