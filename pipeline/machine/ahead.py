"""The next thing is made while the present one is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_T = TypeVar("_T")

_END: Final = object()


def ahead(things: Iterable[_T]) -> Iterator[_T]:
    """The things in their order, of which a thread beside makes the next one: one is in use, and one is ahead.

    An error appears where its thing would. Who stops early waits for the one that is being made.
    """
    making = iter(things)
    with ThreadPoolExecutor(1, "ahead") as pool:
        following = pool.submit(next, making, _END)
        while (thing := following.result()) is not _END:
            following = pool.submit(next, making, _END)
            yield thing  # type: ignore[misc]  # `next` gives a thing or _END
