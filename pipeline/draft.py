"""Work in progress: one folder per version, held under a lease, taken over after a crash, committed by one rename."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import SoftFileLease

from pipeline.errors import InUse, LostLease
from pipeline.files import sync_folder, write_json
from pipeline.storage.arrays import read_json

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
DRAFT = ".draft-"
STALE = ".stale-"
IDENTITY = "identity.json"


@dataclass
class DraftFolder:
    """A private folder beside its final place."""

    path: Path
    final: Path
    resumed: bool
    identity: str
    check: Callable[[], None]
    """Raises LostLease when another process has taken the work over."""

    def commit(self) -> None:
        """One rename to the final name; the caller has written the manifest and synced the files."""
        self.check()
        self.path.rename(self.final)
        sync_folder(self.final.parent)

    def discard(self) -> None:
        shutil.rmtree(self.path)

    def renew(self) -> None:
        """Stand here again, empty, for what follows a commit under the same lease."""
        self.check()
        self.path.mkdir()
        write_json(self.path / IDENTITY, self.identity)


@contextmanager
def claim(final: Path, identity: str, wait_s: float | None = None) -> Iterator[DraftFolder]:
    """Hold the lease on `final` and give a draft folder for `identity`, an unfinished one of that identity if there is.

    The lock only saves work: a second process waits instead of computing the same. A holder that died on this machine
    is noticed at once, one on another machine after a minute without heartbeat. On an error the draft stays for the
    next try. Raises InUse when the other still holds the lease after `wait_s` seconds; None waits as long as it takes.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    lease = SoftFileLease(final.parent / f".{final.name}.lease", lease_duration=LEASE_SECONDS, thread_local=False)
    if not _acquire(lease, 0.5):
        log.info("waiting for another process that is making %s", final)
        if not _acquire(lease, -1 if wait_s is None else wait_s):
            raise InUse(f"Another process is writing {final}, still after {wait_s:g} s. Wait for it, or end it.")
    token = lease.token

    def check() -> None:
        if lease.token != token or lease.compromise is not None:
            raise LostLease(
                f"Another process has taken over {final}, because this one did not refresh its lock for "
                f"{LEASE_SECONDS:.0f} s. Nothing is lost; run the same command again to wait for the other."
            )

    try:
        path, resumed = _take_over(final, identity)
        yield DraftFolder(path, final, resumed, identity, check)
    finally:
        lease.release()


def _acquire(lease: SoftFileLease, timeout_s: float) -> bool:
    """Whether the lease is ours within `timeout_s` seconds; a negative number waits for ever."""
    try:
        lease.acquire(timeout=timeout_s)
    except TimeoutError:
        return False
    return True


def _take_over(final: Path, identity: str) -> tuple[Path, bool]:
    """Rename an unfinished draft, so that a holder that lost its lease finds its paths gone, or begin a new one."""
    path = final.parent / f"{DRAFT}{final.name}-{uuid.uuid4().hex[:8]}"
    old = sorted(final.parent.glob(f"{DRAFT}{final.name}-????????"), key=lambda p: p.stat().st_mtime)
    for other in reversed(old):
        record = other / IDENTITY
        if record.is_file() and read_json(record) == identity:
            other.rename(path)
            log.info("resuming the unfinished %s", final)
            return path, True
        stale = other.with_name(STALE + other.name.removeprefix(DRAFT))
        other.rename(stale)
        log.warning("an unfinished %s had other settings; set aside as %s (stage=gc removes it)", final, stale.name)
    path.mkdir()
    write_json(path / IDENTITY, identity)
    return path, False
