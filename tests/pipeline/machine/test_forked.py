"""A child that crashes has a reason, and its parent goes on."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.machine.forked import can_fork, run_forked
from pipeline.machine.interrupts import Stopped

pytestmark = pytest.mark.skipif(not can_fork(), reason="no process can be forked here")


def ends_by(how):
    """A job that says what it does, and then does it."""

    def work(note):
        note("a first thing")
        note("bins")
        how()

    return work


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda: ctypes.string_at(0), r"The process crashed \(SIGSEGV\) in string_at of ctypes/__init__.py, line"),
        (os.abort, r"The process crashed \(SIGABRT\) in work of machine/test_forked.py, line \d+\."),
        (lambda: os._exit(0), "The process ended with exit status 0 and without a word"),
        (lambda: sys.exit(3), "The process ended with exit status 3 and without a word"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"The process was killed \(SIGKILL\): often the system's"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), r"The process was told to end \(SIGTERM\)"),
    ],
)  # fmt: skip
def test_a_crash_is_told_with_its_reason_and_with_what_was_being_done(how, reason):
    crash = run_forked(ends_by(how))
    assert crash is not None
    assert crash.note == "bins"
    assert re.match(reason, crash.reason), crash.reason


def test_what_a_child_raises_is_raised_here_with_the_place_where_it_was():
    def wrong():
        raise InvalidInput("a wrong setting")

    with pytest.raises(InvalidInput, match="a wrong setting") as caught:
        run_forked(ends_by(wrong))
    assert "in wrong" in caught.value.__notes__[0]


def test_a_child_that_returns_has_changed_nothing_here():
    seen = []
    assert run_forked(lambda note: seen.append(1)) is None
    assert seen == []


def test_who_ends_the_waiting_ends_the_child(tmp_path):
    def work(note):
        (tmp_path / "pid").write_text(str(os.getpid()))
        try:
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            (tmp_path / "closed").touch()

    def stop(number, _):
        raise Stopped(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Stopped):
            run_forked(work)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "closed").exists()
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    script = f"""
import pathlib, time
from pipeline.machine.forked import run_forked

def work(note):
    try:
        pathlib.Path({str(tmp_path)!r}, "began").touch()
        time.sleep(60)
    finally:
        pathlib.Path({str(tmp_path)!r}, "closed").touch()

run_forked(work)
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    wait_for(tmp_path / "began")
    parent.kill()
    parent.wait()
    wait_for(tmp_path / "closed")


def wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
