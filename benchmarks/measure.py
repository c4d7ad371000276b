"""Timing of alternatives in turns, and the table that all benchmarks print."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One comparison; times are seconds for the same work, None where there is no such peer or limit.

    peer_goal, limit_goal: the largest ours/peer and ours/limit that are wanted, None where nothing is. "At least 85 %
    of the bare loop" is a limit_goal of 1/0.85; "200,000 queries a second" is a limit of so many seconds, its goal 1.
    """

    work: str
    ours_s: float
    peer: str = ""
    peer_s: float | None = None
    limit: str = ""
    limit_s: float | None = None
    note: str = ""
    peer_goal: float | None = None
    limit_goal: float | None = None

    @property
    def to_peer(self) -> float | None:
        """ours/peer: below 1 means that ours is faster."""
        return None if self.peer_s is None else self.ours_s / self.peer_s

    @property
    def to_limit(self) -> float | None:
        """ours/limit."""
        return None if self.limit_s is None else self.ours_s / self.limit_s


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
    print(table(rows))


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown, each ratio with its goal; bold where that is missed."""
    lines = ["| work | ours s | peer | peer s | ours/peer | limit | limit s | ours/limit | note |"]
    lines.append("|---|---:|---|---:|---:|---|---:|---:|---|")
    for row in rows:
        cells = (
            row.work,
            _seconds(row.ours_s),
            row.peer,
            _seconds(row.peer_s),
            _judged(row.to_peer, row.peer_goal),
            row.limit,
            _seconds(row.limit_s),
            _judged(row.to_limit, row.limit_goal),
            row.note,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _judged(found: float | None, goal: float | None) -> str:
    if found is None or goal is None:
        return shown(found)
    return f"{shown(found)} (≤ {shown(goal)})" if found <= goal else f"**{shown(found)}** (≤ {shown(goal)})"


def shown(ratio: float | None) -> str:
    """A ratio as a reader takes it in: 0.43, or 1/359 where it is far below 1."""
    return "" if ratio is None else f"{ratio:.2f}" if ratio >= 0.01 or ratio == 0 else f"1/{1 / ratio:,.0f}"
