"""What was opened last, up to a number for the whole process."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

MAPS = Path("/proc/sys/vm/max_map_count")
"""How many maps Linux lets a process have."""


def _allowed() -> int:
    """At most 32,768, and half of the maps that this process may have."""
    try:
        return min(32_768, int(MAPS.read_text()) // 2)
    except (OSError, ValueError):
        return 16_384


OPENED = _allowed()
"""Stored arrays that a process keeps open: two terabytes of frames. A raw one costs up to 128 KB of page tables, one of
zarr some KB for the places of its chunks; what was used longest ago is closed for more.
"""

_T = TypeVar("_T")

_opened: OrderedDict[tuple[int, int], object] = OrderedDict()

_numbers = itertools.count()


class Recent(Generic[_T]):
    """The share of that memory that belongs to one reader; it is gone with the reader.

    Several threads may use it without a lock: what one of them is taking is not there for the others, which open it
    themselves. So a fork at any moment leaves nothing locked.
    """

    def __init__(self) -> None:
        self._own = next(_numbers)
        weakref.finalize(self, _forget, self._own).atexit = False

    def get(self, key: int, make: Callable[[int], _T]) -> _T:
        """What is remembered under that key, or was made of it now. It stays open for whoever holds it."""
        found: _T | None = _opened.pop((self._own, key), None)  # type: ignore[assignment]  # its own put it there
        if found is None:
            found = make(key)
        _opened[self._own, key] = found
        if len(_opened) > OPENED:
            _opened.popitem(last=False)
        return found


def _forget(own: int) -> None:
    for place in [place for place in list(_opened) if place[0] == own]:
        _opened.pop(place, None)
