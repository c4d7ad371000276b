"""Who holds a lease, where machines share a folder: its heartbeat says so and, on one machine, the kernel."""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import OwnerRecord, SoftFileLease

SIGNS = Path("/dev/shm")
"""Memory of this machine alone: what is found here was made here. Where it is not there, heartbeats decide."""

SIGN = "repertoire-lease-"
"""What the names of signs of life begin with."""

MARK = "?sign-"
"""Stands between host and sign in a record; filelock writes no host with a `?s`."""


class HeartbeatLease(SoftFileLease):
    """A lease that is lost by its heartbeat alone: a contender watches that by a clock that only it reads.

    filelock takes a lease over at once where a host of its own name has no process of the recorded number. On a
    cluster that is no proof: containers and machines of one image share their names, and numbers are given again. So a
    record names the host with a sign of this one claim, which equals no contender's host.
    """

    sign = ""
    """The sign of life of this claim; empty where there is none."""

    def _published_record(self) -> OwnerRecord:
        record = super()._published_record()
        return record._replace(hostname=f"{record.hostname}{MARK}{self.sign or '-'}")

    @property
    def host(self) -> str:
        """The name of the holder's host, for people; empty where no holder is named."""
        return self.owner.hostname.partition("?")[0] if self.owner else ""

    def take_from_the_dead(self) -> None:
        """Remove the lease file of a process of this machine that has ended."""
        owner = self.owner
        if owner is None:
            return
        with _ended(owner.hostname.rpartition(MARK)[2]) as ended:
            if ended and self.owner == owner:
                self.force_break()


@contextmanager
def sign_of_life() -> Iterator[str]:
    """The name of a small file in this machine's memory, locked until the context or the process ends.

    The kernel drops the lock of a process however that ends. Gives an empty name where there can be no such file.
    """
    name = uuid.uuid4().hex
    path = SIGNS / f"{SIGN}{name}"
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644)
    except OSError:
        yield ""
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield name
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


@contextmanager
def _ended(name: str) -> Iterator[bool]:
    """Whether the process of a sign has ended on this machine; False where the sign is not of this machine.

    While the context lasts, no other process gets the same answer.
    """
    path = SIGNS / f"{SIGN}{name}"
    try:
        file = os.open(path, os.O_RDONLY) if re.fullmatch("[0-9a-f]{32}", name) else None
    except OSError:
        file = None
    if file is None:
        yield False
        return
    try:
        free = _locked(file)
        yield free
        if free:
            with suppress(OSError):  # another user's
                path.unlink()
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
