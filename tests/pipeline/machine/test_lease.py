"""A lease has one holder; the others wait, or say who is in the way."""

from __future__ import annotations

import logging
import os
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


@pytest.mark.parametrize("torn", [b"", b"filelock:2\npi", b"12345\nanother-host\n", b"\0\xff\n"])
def test_a_lock_that_names_no_holder_is_taken_over_after_a_while(tmp_path, monkeypatch, torn):
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.2)
    (tmp_path / "lease").write_bytes(torn)  # as a full disk or a power cut leaves it
    with held(tmp_path / "lease", "collecting", wait_s=20) as check:
        check()


def test_a_lock_that_names_no_holder_is_named_to_those_who_do_not_wait(tmp_path):
    (tmp_path / "lease").touch()
    with (
        pytest.raises(InUse, match=f"Its lock: {tmp_path}/lease"),
        held(tmp_path / "lease", "collecting", wait_s=0),
    ):
        pass


def test_a_lock_that_names_no_holder_is_abandoned_after_a_minute_and_a_held_one_never(tmp_path):
    path = tmp_path / "lease"
    path.touch()
    assert not lease.is_abandoned(path)  # somebody may be writing it
    os.utime(path, (time.time() - 61, time.time() - 61))
    assert lease.is_abandoned(path)
    path.unlink()
    assert not lease.is_abandoned(path)
    with held(path, "collecting"):
        os.utime(path, (time.time() - 61, time.time() - 61))
        assert not lease.is_abandoned(path)


def test_an_error_that_follows_from_the_loss_of_the_lease_says_so(tmp_path):
    with pytest.raises(LostLease, match="has taken over") as caught, held(tmp_path / "lease", "collecting"):
        (tmp_path / "lease").unlink()
        (tmp_path / "draft").read_bytes()  # the other has moved it away
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_an_error_under_a_lease_that_holds_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), held(tmp_path / "lease", "collecting"):
        (tmp_path / "draft").read_bytes()
