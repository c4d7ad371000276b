"""One policy of trying again, for every side that may fail for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pipeline.remote import retry
from pipeline.remote.retry import Retry


def failing(times: int) -> tuple[list[int], Callable[[], int]]:
    """A step that fails so many times and then gives 7; and the list of its calls."""
    calls: list[int] = []

    def step() -> int:
        calls.append(len(calls) + 1)
        if len(calls) <= times:
            raise ConnectionError(f"failure {len(calls)}")
        return 7

    return calls, step


def lost(error: BaseException) -> bool:
    return isinstance(error, ConnectionError)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE_SECONDS", 0.001)


def test_a_step_is_done_again_until_it_succeeds(caplog):
    calls, step = failing(2)
    assert Retry(lost, str, tries=3)(step, "asking") == 7
    assert calls == [1, 2, 3]
    assert "asking failed (failure 2); try 3 of 3" in caplog.text


def test_the_last_error_is_raised_as_it_is_after_the_last_try():
    calls, step = failing(9)
    with pytest.raises(ConnectionError, match="failure 2"):
        Retry(lost, str, tries=2)(step, "asking")
    assert calls == [1, 2]


def test_an_error_that_stays_is_raised_at_once():
    calls, step = failing(9)
    with pytest.raises(ConnectionError, match="failure 1"):
        Retry(lambda _: False, str)(step, "asking")
    assert calls == [1]


def test_the_pause_is_the_one_that_the_other_side_asks_for(monkeypatch):
    monkeypatch.setattr(retry, "PAUSE_SECONDS", 60.0)
    _, step = failing(1)
    began = time.monotonic()
    assert Retry(lost, str, asked_pause=lambda _: 0.0)(step, "asking") == 7
    assert time.monotonic() - began < 30
