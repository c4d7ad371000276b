"""One progress display for long work: a bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

LINE_SECONDS = 10.0

Advance = Callable[[int], None]


@contextmanager
def progress(stage: str, task: str, unit: str, total: int | None, done: int = 0) -> Iterator[Advance]:
    """Show how far `stage` of `task` is. Call the yielded function with how many units were finished."""
    shown = _bar(stage, task, unit, total, done) if sys.stderr.isatty() else _lines(stage, task, unit, total, done)
    with shown as advance:
        yield advance


@contextmanager
def _bar(stage: str, task: str, unit: str, total: int | None, done: int) -> Iterator[Advance]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}, {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start, seen = time.monotonic(), 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(f"{stage} {task}", total=total, completed=done, unit=unit, rate="")

        def advance(count: int) -> None:
            nonlocal seen
            seen += count
            bar.update(row, advance=count, rate=_rate(seen, unit, time.monotonic() - start))

        yield advance


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
