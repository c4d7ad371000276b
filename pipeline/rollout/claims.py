"""Which worker makes which episodes: a counter that all of them share."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext
from typing import Any, TypeVar

AHEAD = 256
"""Episodes that may be finished before the one that is packed next: the others wait on disk."""

TOGETHER = 256
"""Episodes that a worker may claim, and spill, at a time, ..."""

TOGETHER_SECONDS = 0.25
"""... as long as they take no more time than this: so much of its work may be lost where a worker is killed."""

AnyStart = TypeVar("AnyStart")


class Claims:
    """The episodes from `first` on, up to `end` or without end, but for those that are `spilled` already.

    Short episodes are claimed several at a time, so that those of one worker follow one another.
    """

    def __init__(
        self, context: SpawnContext, first: int, end: int | None, spilled: Collection[int], workers: int
    ) -> None:
        self._next: Any = context.Value("q", first)
        # Without a lock: one process writes it, and a worker that is killed while it holds a lock never gives it back.
        self._packed: Any = context.Value("q", first, lock=False)
        self._claimed: Any = context.Value("q", 1, lock=False)  # at a time, by whoever claimed last
        self._end, self._spilled, self._workers = end, frozenset(spilled), workers

    def packed(self, count: int) -> None:
        """The first `count` episodes are packed."""
        self._packed.value = count

    def starts(self, start: Callable[[int], AnyStart], before_waiting: Callable[[], None]) -> Iterator[AnyStart | None]:
        """What `start` makes of the number of each episode that this worker is to make.

        None while it must wait for those before to be packed; perhaps they wait for what `before_waiting` does.
        """
        many, begun = 1, time.monotonic()
        while (numbers := self._claim(many)) is not None:
            if not numbers:
                before_waiting()
                if (parent := parent_process()) is not None and not parent.is_alive():
                    return  # it was killed, so that nobody packs what this worker waits for
                yield None
                begun = time.monotonic()
                continue
            yield from (start(number) for number in numbers if number not in self._spilled)
            took, begun = time.monotonic() - begun, time.monotonic()
            many = max(1, min(TOGETHER, int(TOGETHER_SECONDS * len(numbers) / max(took, 1e-6))))

    def _claim(self, many: int) -> range | None:
        """The next episodes, at most so many; none while all that are left are too far ahead. None: all are claimed."""
        with self._next.get_lock():
            first: int = self._next.value
            widest = max(many, self._claimed.value)  # one that has just begun would else wait for ever for the others
            last = min(first + many, self._packed.value + max(AHEAD, 2 * self._workers * widest))
            if self._end is not None:
                if first >= self._end:
                    return None
                last = min(last, first + max(1, (self._end - first) // (2 * self._workers)))  # all end together
            if first < last:
                self._next.value, self._claimed.value = last, many
            return range(first, last)
