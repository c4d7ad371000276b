"""Steps that are tried again: what fails for a moment, over a network, is no error yet.

How long to wait is the same everywhere. What may pass, and how often to try, is each caller's own, as a `Retry`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_when_event_set
from tenacity.nap import sleep_using_event
from tenacity.wait import wait_exponential, wait_random

log = logging.getLogger(__name__)

PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""Before the second try; it doubles with every further one. A random time of up to the first is added."""

T = TypeVar("T")


def _asks_nothing(error: BaseException) -> float | None:
    return None


@dataclass(frozen=True)
class Retry:
    """Which failures are worth another try, and how many.

    Attributes:
        passes: whether what failed so may succeed a moment later.
        describe: an error in one line, for the log, without anything secret.
        tries: in all, the first included.
        asked_pause: seconds that the other side asks to be left alone; None where it asks for nothing.
    """

    passes: Callable[[BaseException], bool]
    describe: Callable[[BaseException], str]
    tries: int = 5
    asked_pause: Callable[[BaseException], float | None] = _asks_nothing

    def __call__(self, step: Callable[[], T], what: str, stop: Event | None = None) -> T:
        """Do a step that can be repeated; do it again, after growing pauses, while it fails in a way that may pass.

        `what` names the step in the log. `stop`, set by another thread, ends the pauses and the tries.
        Raises the last error as it is.
        """
        stop = stop or Event()
        return Retrying(
            retry=retry_if_exception(self.passes),
            stop=stop_after_attempt(self.tries) | stop_when_event_set(stop),
            wait=self._pause,
            sleep=sleep_using_event(stop),
            before_sleep=lambda state: self._log(state, what),
            reraise=True,
        )(step)

    def _pause(self, state: RetryCallState) -> float:
        asked = self.asked_pause(_error(state))
        growing = wait_exponential(PAUSE_SECONDS, LONGEST_PAUSE_SECONDS) + wait_random(0, PAUSE_SECONDS)
        return growing(state) if asked is None else asked

    def _log(self, state: RetryCallState, what: str) -> None:
        pause = state.next_action.sleep if state.next_action else 0.0
        reason, following = self.describe(_error(state)), state.attempt_number + 1
        log.warning("%s failed (%s); try %d of %d in %.1f s", what, reason, following, self.tries, pause)


def _error(state: RetryCallState) -> BaseException:
    """What the last try raised; tenacity asks only after one that failed."""
    error = state.outcome.exception() if state.outcome else None
    assert error is not None
    return error
