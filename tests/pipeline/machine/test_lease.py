"""A lease has one holder; the others wait, or say who is in the way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from pipeline.errors import InUse, LostLease
from pipeline.machine import lease
from pipeline.machine.lease import held


def test_another_holder_is_refused_with_what_the_first_one_does(tmp_path):
    with (
        held(tmp_path / "lease", "collecting toy/corner"),
        pytest.raises(InUse, match="Another process is collecting toy/corner"),
        held(tmp_path / "lease", "collecting toy/corner", wait_s=0),
    ):
        pass


def test_the_lease_is_free_again_after_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="on purpose"), held(tmp_path / "lease", "failing"):
        raise RuntimeError("on purpose")
    with held(tmp_path / "lease", "going on", wait_s=0) as check:
        check()


def test_one_who_waits_says_so_and_is_next(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    leave, inside, order = threading.Event(), threading.Event(), []

    def first() -> None:
        with held(tmp_path / "lease", "collecting"):
            inside.set()
            leave.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    threading.Timer(1.0, leave.set).start()  # later than the half second in which nothing is logged
    with held(tmp_path / "lease", "collecting"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "waiting for another process that is collecting" in caplog.text


def test_a_holder_whose_lease_was_taken_over_learns_it_from_its_check(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)  # the heartbeat, which notices it, follows from this
    path = tmp_path / "lease"
    with held(path, "collecting") as check:
        check()
        path.unlink()  # as one does who finds the heartbeat too old
        with held(path, "collecting", wait_s=0), pytest.raises(LostLease, match="run the same command again"):
            wait_until_lost(check)


def wait_until_lost(check: Callable[[], None]) -> None:
    """Call `check` until it raises; gives up after a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        check()
        time.sleep(0.05)
