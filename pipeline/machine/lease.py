"""One writer at a time: a lock file with a heartbeat, on any file system that several machines may share."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InUse, LostLease, PipelineError
from pipeline.machine.files import file_clock

if TYPE_CHECKING:  # loaded where a lease is taken: most commands find everything and take none
    from pipeline.machine.heartbeats import HeartbeatLease

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
AT_ONCE = 0.5
"""Seconds that one waits without a word."""

POLL_SECONDS = 1.0
"""How often one who waits looks whether the lease names a holder."""

CHANGING_HANDS_SECONDS = 0.5
"""For so long the lease file may be gone while another process finds out that its holder is alive."""


@contextmanager
def held(path: Path, doing: str, wait_s: float | None = None) -> Iterator[Callable[[], None]]:
    """Hold the lease file `path`; gives a check that it is still ours, which raises LostLease where it is not.

    `doing` completes "another process is ..." in messages. A holder that died on this machine is noticed at once, one
    on another machine after a minute without heartbeat; so is a file that names no holder, as a full disk or a power
    cut leaves it. No clock of another machine and no process id is believed (pipeline/machine/heartbeats.py). Raises
    InUse when another still holds the lease after `wait_s` seconds; None waits as long as it takes. An error that
    follows from the loss of the lease is a LostLease.
    """
    from pipeline.machine.heartbeats import HeartbeatLease, sign_of_life

    with sign_of_life() as sign:
        lease = HeartbeatLease(path, lease_duration=LEASE_SECONDS, thread_local=False)
        lease.sign = sign
        _take(lease, doing, wait_s)
        try:
            yield from _checked(lease, doing)
        finally:
            lease.release()


def _take(lease: HeartbeatLease, doing: str, wait_s: float | None) -> None:
    """Make the lease ours. Raises InUse."""
    path = lease.lock_file
    if _acquire(lease, AT_ONCE):
        return
    of = f", held by {lease.host}" if lease.host else ""
    if wait_s != 0:
        log.info("waiting for another process that is %s (its lock: %s%s)", doing, path, of)
    if not _acquire(lease, math.inf if wait_s is None else wait_s):
        raise InUse(
            f"Another process is {doing}, still after {wait_s:g} s. Wait for it, or end it. Its lock: {path}{of}"
        )


def _checked(lease: HeartbeatLease, doing: str) -> Iterator[Callable[[], None]]:
    """Give the check; what is raised meanwhile is a LostLease where it follows from that."""
    token = lease.token

    def check() -> None:
        if lease.token != token or lease.compromise is not None or not _names(lease, token):
            raise LostLease(
                f"Another process is {doing}: it has taken over from this one, which did not refresh its lock "
                f"{lease.lock_file} for {LEASE_SECONDS:.0f} s. Nothing is lost; run the same command again to wait for "
                "the other."
            )

    try:
        yield check
    except PipelineError:
        raise
    except Exception as error:
        try:
            check()
        except LostLease as lost:  # the other has moved the files away under our hands: that is the reason
            raise lost from error
        raise


def is_abandoned(path: Path) -> bool:
    """Whether a lease file names no holder, and has not for a minute: nobody will ever release it."""
    from pipeline.machine.heartbeats import HeartbeatLease

    lease = HeartbeatLease(path, lease_duration=LEASE_SECONDS)
    if not path.is_file() or lease.owner is not None:
        return False
    try:
        return file_clock(path.parent) - path.stat().st_mtime > LEASE_SECONDS
    except OSError:  # gone meanwhile, or in a folder that nobody can write to
        return False


def _acquire(lease: HeartbeatLease, timeout_s: float) -> bool:
    """Whether the lease is ours within `timeout_s` seconds."""
    from filelock import LeaseSettingsMismatch

    end = time.monotonic() + timeout_s
    nameless = _NamelessLock(lease)
    while True:
        lease.take_from_the_dead()
        try:
            lease.acquire(timeout=max(0.0, min(POLL_SECONDS, end - time.monotonic())))
        except TimeoutError:
            pass
        except LeaseSettingsMismatch:  # a lock of another program, or a damaged one
            time.sleep(POLL_SECONDS)
        else:
            return True
        nameless.take_over()
        if time.monotonic() >= end:
            return False


class _NamelessLock:
    """Watches for a lease file that names no holder: filelock would wait for ever for whoever might be writing it."""

    def __init__(self, lease: HeartbeatLease) -> None:
        self._lease = lease
        self._seen: tuple[int, ...] | None = None
        self._since = 0.0

    def take_over(self) -> None:
        """Remove the file once it has named no holder, and has not changed, for a minute of this machine's clock."""
        path = Path(self._lease.lock_file)
        owner = self._lease.owner
        try:
            there = path.stat()
        except OSError:
            return
        key = (there.st_mtime_ns, there.st_ctime_ns, there.st_ino)
        if (owner is not None and owner.lease_duration == LEASE_SECONDS) or key != self._seen:
            self._seen, self._since = key, time.monotonic()
        elif time.monotonic() - self._since >= LEASE_SECONDS:
            log.warning("the lock %s names no process and has not changed for a minute: it is taken over", path)
            self._lease.force_break()


def _names(lease: HeartbeatLease, token: str | None) -> bool:
    """Whether the lease file names us; it may be gone for a moment."""
    end = time.monotonic() + CHANGING_HANDS_SECONDS
    while (owner := lease.owner) is None or owner.token != token:
        if time.monotonic() > end:
            return False
        time.sleep(CHANGING_HANDS_SECONDS / 10)
    return True
