"""Leases between machines: their clocks, names and process ids say nothing, their heartbeats all."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import InUse
from pipeline.machine import heartbeats, lease
from pipeline.machine.files import file_clock
from pipeline.machine.lease import held

HOUR = 3600.0
DURATION = 1.5
ENDED = 2**22 - 1
"""No process has this number."""


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", DURATION)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.2)


def claimed(path: Path, sign: str = "f" * 32) -> None:
    """The lease file of a process of another machine, of the same name, whose number no process has here."""
    with held(path, "being another"):
        record = path.read_text()
    record = re.sub(r"(?m)^pid=.*$", f"pid={ENDED}", record)
    record = re.sub(r"(?m)^start=.*$", "start=7", record)
    path.write_text(re.sub("sign-[0-9a-f-]*", f"sign-{sign}", record))


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Call `beat` as a holder does, often enough for a busy machine."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(0.05):
            beat()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def at_once(*calls: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_live_holder_keeps_its_lease_and_a_dead_one_loses_it_however_far_the_clocks_of_their_hosts_differ(tmp_path):
    """Each file has the times of a host, or file server, whose clock is an hour ahead or behind."""
    shifts = {"ahead": HOUR, "behind": -HOUR}
    got: dict[str, float] = {}
    for name in shifts:
        claimed(tmp_path / f"live-{name}")
        claimed(tmp_path / f"dead-{name}")

    def stamp(kind: str) -> None:
        for name, shift in shifts.items():
            os.utime(tmp_path / f"{kind}-{name}", (time.time() + shift, time.time() + shift))

    def contend(name: str) -> None:
        begun = time.monotonic()
        try:
            with held(tmp_path / name, "collecting", wait_s=1.5 * DURATION if name.startswith("live") else 30):
                got[name] = time.monotonic() - begun
        except InUse:
            pass

    stamp("dead")
    with beating(lambda: stamp("live")):
        at_once(*(lambda name=f"{kind}-{name}": contend(name) for kind in ("live", "dead") for name in shifts))
    assert sorted(got) == ["dead-ahead", "dead-behind"]
    assert min(got.values()) >= DURATION  # not before it was watched for that long


def test_a_process_that_is_not_here_is_not_dead_for_that(tmp_path):
    claimed(tmp_path / "lease")
    with (
        pytest.raises(InUse, match=f"held by {socket.gethostname()}"),
        held(tmp_path / "lease", "collecting", wait_s=0),
    ):
        pass


def test_a_sign_that_is_locked_keeps_its_lease_and_a_free_one_loses_it_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", DURATION)
    with heartbeats.sign_of_life() as sign:
        if not sign:
            pytest.skip(f"there is no {heartbeats.SIGNS} here")
        claimed(tmp_path / "lease", sign)
        with pytest.raises(InUse), held(tmp_path / "lease", "collecting", wait_s=0):
            pass
    left = heartbeats.SIGNS / f"{heartbeats.SIGN}{sign}"
    assert not left.exists()
    left.touch()  # as a killed process leaves it
    with held(tmp_path / "lease", "collecting", wait_s=0) as check:
        check()
    assert not left.exists()


def test_without_memory_of_the_machine_a_lease_is_held_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeats, "SIGNS", tmp_path / "nowhere")
    with held(tmp_path / "lease", "collecting") as check:
        check()
        with pytest.raises(InUse), held(tmp_path / "lease", "collecting", wait_s=0):
            pass


def test_a_lease_without_a_holder_is_as_old_as_the_clock_of_its_file_system_says(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", 60.0)
    (tmp_path / "lease").touch()
    monkeypatch.setattr(time, "time", lambda: time.monotonic() + 1e10)  # this host's clock is years ahead
    assert abs(file_clock(tmp_path) - (tmp_path / "lease").stat().st_mtime) < HOUR
    assert not lease.is_abandoned(tmp_path / "lease")
