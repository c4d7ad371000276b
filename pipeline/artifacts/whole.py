"""Whether files are still those that a manifest lists. Each content is read once for that, then it is remembered.

A group of files, a dataset's part or all of another artifact, is remembered by a stamp: over the sizes, times of change
and inodes of its files, and their checksums. Whatever writes into a file changes its stamp, and the file is read again.
"""

from __future__ import annotations

import json
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

from blake3 import blake3

from pipeline.artifacts.beside import CHECKED, hidden_beside
from pipeline.digest import digest_file
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import folder_identity, read_json, write_atomic

Files = Mapping[str, Mapping[str, Any]]
"""Size and checksum by the path below an artifact's folder, as its manifest lists them."""

TICK_NS = 100_000_000
"""Two changes within a clock tick of the file system have one time; the ticks of those in use are shorter than this."""

SECOND_NS = 1_000_000_000

KEPT_EVERY_S = 10.0
"""What is found whole group by group is remembered at most so often: all of it is written each time."""

log = logging.getLogger(__name__)

_read_here: dict[tuple[Path, str], str] = {}
"""The stamp of each group that this process has read itself, by the artifact's folder."""


def memory_of(folder: Path) -> Path:
    """Where an artifact's stamps are kept."""
    return hidden_beside(folder, CHECKED)


def damage_in(folder: Path, groups: Mapping[str, Files], fresh: bool = False) -> list[str]:
    """The files of some groups that are missing or changed; empty where all are whole.

    `fresh` trusts no other process: what this one has not read since it was changed, it reads.
    """
    known = {} if fresh else _remembered(folder)
    learnt: dict[str, str] = {}
    found = [wrong for group, files in groups.items() for wrong in _damage(folder, group, files, known, learnt)]
    if learnt:
        _remember(folder, _remembered(folder) | learnt)
    return found


def remember_written(folder: Path, groups: Mapping[str, Files]) -> None:
    """Remember groups whose checksums were taken when they were written here: so their reader need not take them again.

    Files that are younger than a tick are left out, and so are those that are otherwise already.
    """
    stamps = {group: _stamp(folder, files) for group, files in groups.items()}
    made = {group: stamp for group, (stamp, newest, wrong) in stamps.items() if not wrong and _is_settled(newest)}
    if made:
        _remember(folder, _remembered(folder) | made)


def changed_in(folder: Path, files: Files) -> list[str]:
    """The files that are missing or changed. All are read now: what a few small ones hold, no stamp remembers."""
    wrong = [why for name, record in sorted(files.items()) if (why := _looked_at(folder, name, record)[1])]
    return wrong or _other_bytes(folder, files)


class OneByOne:
    """Checks groups of an artifact's files each before it is read first: what is remembered is read and kept seldom.

    A dataset may have a hundred thousand parts, and a trainer begins with the first batch.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Any] | None = None
        self._learnt: dict[str, str] = {}
        self._kept = time.monotonic()
        self._whole: dict[str, tuple[int, int] | None] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return OneByOne, (self._folder,)

    def damage(self, group: str, files: Callable[[], Files]) -> list[str]:
        """The files of a group that are missing or changed.

        Those of a group that was whole are not looked at again, unless its folder is another one: an artifact may be
        made anew under its name.
        """
        if self.is_whole(group):
            return []
        identity = folder_identity(f"{self._folder}/{group}")
        if self._known is None:
            self._known = _remembered(self._folder)
            weakref.finalize(self, _keep, self._folder, self._learnt)
        if wrong := _damage(self._folder, group, files(), self._known, self._learnt):
            return wrong
        self._whole[group] = identity
        if self._learnt and time.monotonic() - self._kept > KEPT_EVERY_S:
            self.keep()
        return []

    def is_whole(self, group: str) -> bool:
        """Whether a group was found whole here, in the folder that is there now."""
        return group in self._whole and self._whole[group] == folder_identity(f"{self._folder}/{group}")

    def keep(self) -> None:
        """Remember for other processes what was found whole since the last time."""
        _keep(self._folder, self._learnt)
        self._kept = time.monotonic()


def _keep(folder: Path, learnt: dict[str, str]) -> None:
    if learnt and folder.is_dir():
        _remember(folder, _remembered(folder) | learnt)
    learnt.clear()


def _damage(
    folder: Path, group: str, files: Files, known: Mapping[str, Any], learnt: MutableMapping[str, str]
) -> list[str]:
    """What is wrong with a group; `learnt` gets its stamp where it had to be read, and was whole."""
    stamp, newest, wrong = _stamp(folder, files)
    if not wrong and stamp not in (_read_here.get((folder, group)), known.get(group)):
        wrong = _other_bytes(folder, files)
        if not wrong and _is_settled(newest):
            _read_here[folder, group] = learnt[group] = stamp
    return wrong


def table_digest(groups: Iterable[Files]) -> str:
    """One digest for the names and checksums of files: of the bytes that are read from an artifact."""
    table = sorted((name, str(record["blake3"])) for files in groups for name, record in files.items())
    return blake3(json.dumps(table).encode()).hexdigest()


def _stamp(folder: Path, files: Files) -> tuple[str, int, list[str]]:
    """The stamp of some files, the time of the newest change, and what is wrong with them already."""
    rows, wrong, newest = [], [], 0
    for name, record in sorted(files.items()):
        status, why = _looked_at(folder, name, record)
        wrong += [why] if why else []
        if status is None:
            continue
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        rows.append([name, record["blake3"], status.st_mtime_ns, status.st_ctime_ns, status.st_ino])
    return blake3(json.dumps(rows).encode()).hexdigest(16), newest, wrong


def _looked_at(folder: Path, name: str, record: Mapping[str, Any]) -> tuple[os.stat_result | None, str]:
    """What the file system says of a file, and what is wrong with that."""
    try:
        status = os.stat(f"{folder}/{name}")  # noqa: PTH116  # a Path takes as long again, and files are many
    except (FileNotFoundError, NotADirectoryError):
        return None, f"{name} is missing"
    if not S_ISREG(status.st_mode):
        return None, f"{name} is missing"
    if status.st_size != record["size"]:
        return status, f"{name} has {status.st_size} bytes, the manifest says {record['size']}"
    return status, ""


def _other_bytes(folder: Path, files: Files) -> list[str]:
    changed = (name for name, record in sorted(files.items()) if digest_file(folder / name) != record["blake3"])
    return [f"{name} has other bytes than when it was made" for name in changed]


def _is_settled(newest: int) -> bool:
    """Whether a later change is sure to have a later time. Some file systems know whole seconds alone."""
    return time.time_ns() - newest > (2 * SECOND_NS if newest % SECOND_NS == 0 else TICK_NS)


def _remembered(folder: Path) -> dict[str, Any]:
    """What is remembered of an artifact; nothing where that cannot be read: then files are read again."""
    path = memory_of(folder)
    try:
        found = read_json(path) if path.is_file() else {}
    except (DamagedArtifact, OSError):
        found = {}
    return found if isinstance(found, dict) else {}


def _remember(folder: Path, stamps: Mapping[str, Any]) -> None:
    try:
        write_atomic(memory_of(folder), lambda file: file.write(json.dumps(stamps).encode()))
    except OSError as error:  # a folder that can only be read: then each process reads the files once
        log.debug("what was checked of %s is not remembered: %s", folder, error)
