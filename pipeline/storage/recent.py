"""What was opened last, up to a number for the whole process."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

OPENED = 16_384
"""Stored arrays that a process keeps open: a terabyte of frames. Raw ones have page tables of 2 GB when all is read,
those of zarr 0.2 GB of places of chunks; what was opened longest ago is closed for more.
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
