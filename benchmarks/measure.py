"""Timing of alternatives in turns, and the table that all benchmarks print."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One comparison; times are seconds for the same work, None where there is no such peer or limit."""

    work: str
    ours_s: float
    peer: str = ""
    peer_s: float | None = None
    limit: str = ""
    limit_s: float | None = None
    note: str = ""


def best_of(repeats: int, **functions: Callable[[], Any]) -> dict[str, float]:
    """The shortest of `repeats` runs of each function, in seconds.

    The functions take turns, so that a slow spell of the machine meets all of them.
    """
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def print_table(rows: Iterable[Row]) -> None:
    """A Markdown table; ratios are ours over the other, so below 1 means that ours is faster."""
    print("| work | ours s | peer | peer s | ours/peer | limit | limit s | ours/limit | note |")
    print("|---|---:|---|---:|---:|---|---:|---:|---|")
    for row in rows:
        cells = (
            row.work,
            _seconds(row.ours_s),
            row.peer,
            _seconds(row.peer_s),
            _ratio(row.ours_s, row.peer_s),
            row.limit,
            _seconds(row.limit_s),
            _ratio(row.ours_s, row.limit_s),
            row.note,
        )
        print("| " + " | ".join(cells) + " |")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _ratio(ours: float, other: float | None) -> str:
    return "" if other is None else f"{ours / other:.2f}" if ours / other >= 0.01 else f"1/{other / ours:,.0f}"
