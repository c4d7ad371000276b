"""How much of the machine other programs take while something is measured (Linux)."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def watched(function: Callable[[], T]) -> tuple[T, float]:
    """What a function returns, and the cores that others than this process and its children took meanwhile."""
    began, busy, own = time.perf_counter(), _busy(), _own()
    found = function()
    others = (_busy() - busy) - (_own() - own)
    return found, round(max(0.0, others / (time.perf_counter() - began)), 3)


def _busy() -> float:
    """Seconds that all cores have worked since the machine started."""
    user, nice, system, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    interrupts = sum(rest[2:4])
    return (user + nice + system + interrupts) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Seconds of cores that this process and its children that have ended took."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
