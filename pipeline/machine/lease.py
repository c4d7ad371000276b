"""One writer at a time: a lock file with a heartbeat, on any file system that several machines may share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLease

from pipeline.errors import InUse, LostLease

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
AT_ONCE = 0.5
"""Seconds that one waits without a word."""


@contextmanager
def held(path: Path, doing: str, wait_s: float | None = None) -> Iterator[Callable[[], None]]:
    """Hold the lease file `path`; gives a check that it is still ours, which raises LostLease where it is not.

    `doing` completes "another process is ..." in messages. A holder that died on this machine is noticed at once, one
    on another machine after a minute without heartbeat. Raises InUse when another still holds the lease after `wait_s`
    seconds; None waits as long as it takes.
    """
    lease = SoftFileLease(path, lease_duration=LEASE_SECONDS, thread_local=False)
    if not _acquire(lease, AT_ONCE):
        if wait_s != 0:
            log.info("waiting for another process that is %s", doing)
        if not _acquire(lease, -1 if wait_s is None else wait_s):
            raise InUse(f"Another process is {doing}, still after {wait_s:g} s. Wait for it, or end it.")
    token = lease.token

    def check() -> None:
        if lease.token != token or lease.compromise is not None:
            raise LostLease(
                f"Another process is {doing}: it has taken over from this one, which did not refresh its lock for "
                f"{LEASE_SECONDS:.0f} s. Nothing is lost; run the same command again to wait for the other."
            )

    try:
        yield check
    finally:
        lease.release()


def _acquire(lease: SoftFileLease, timeout_s: float) -> bool:
    """Whether the lease is ours within `timeout_s` seconds; a negative number waits for ever."""
    try:
        lease.acquire(timeout=timeout_s)
    except TimeoutError:
        return False
    return True
