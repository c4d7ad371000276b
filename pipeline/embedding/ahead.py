"""The next thing is made while the present one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")


def ahead(make: Callable[[_A], _B], over: Iterable[_A]) -> Iterator[_B]:
    """`map(make, over)`, with one call always running in a thread beside; an error appears where its result would."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for each in over:
            following = pool.submit(make, each)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
