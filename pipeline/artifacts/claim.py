"""Work in progress: one folder per version, held under a lease, taken over after a crash, committed by one rename."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import MANIFEST, without_manifest
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import read_json, sync_folder, write_json
from pipeline.machine.lease import held

log = logging.getLogger(__name__)

DRAFT = ".draft-"
STALE = ".stale-"
IDENTITY = "identity.json"
LEASES = ".*.lease"
"""What lease files are named like."""


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
        """Make the folder again, empty, for what follows a commit under the same lease."""
        self.check()
        self.path.mkdir()
        write_json(self.path / IDENTITY, self.identity)


@contextmanager
def claim(final: Path, identity: str, wait_s: float | None = None) -> Iterator[DraftFolder]:
    """Hold the lease on `final` and yield a draft folder: an unfinished one with the same `identity`, or a new one.

    The lock (pipeline/machine/lease.py, as are `wait_s` and InUse) only saves work: a second process waits instead of
    computing the same. On an error the draft stays for the next try. Raises DamagedArtifact where a folder without a
    manifest stands in the final place.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with held(lease_of(final), f"writing {final}", wait_s) as check:
        if final.exists() and not (final / MANIFEST).is_file():
            raise without_manifest(final)
        path, resumed = _take_over(final, identity)
        yield DraftFolder(path, final, resumed, identity, check)


def lease_of(final: Path) -> Path:
    """The lease file of what is made at `final`."""
    return final.parent / f".{final.name}.lease"


def _take_over(final: Path, identity: str) -> tuple[Path, bool]:
    """Rename an unfinished draft, so that a holder that lost its lease finds its paths gone, or begin a new one."""
    path = final.parent / f"{DRAFT}{final.name}-{uuid.uuid4().hex[:8]}"
    old = sorted(final.parent.glob(f"{DRAFT}{final.name}-????????"), key=lambda p: p.stat().st_mtime)
    for other in reversed(old):
        if (recorded := _recorded(other / IDENTITY)) == identity:
            other.rename(path)
            log.info("resuming the unfinished %s", final)
            return path, True
        stale = other.with_name(STALE + other.name.removeprefix(DRAFT))
        other.rename(stale)
        had = "had other settings" if recorded else "does not say what it was to be"
        log.warning("an unfinished %s %s; set aside as %s (stage=gc removes it)", final, had, stale.name)
    path.mkdir()
    write_json(path / IDENTITY, identity)
    return path, False


def _recorded(record: Path) -> Any:
    """The identity that a draft was begun with; None where that cannot be read."""
    try:
        return read_json(record) if record.is_file() else None
    except DamagedArtifact:
        return None
