"""Whether files are still those that a manifest lists. Each content is read once for that, then it is remembered.

A group of files, a dataset's part or all of another artifact, is remembered by a stamp: over the sizes, times of change
and inodes of its files, and their checksums. Whatever writes into a file changes its stamp, and the file is read again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

from pipeline.digest import digest_file
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import read_json, write_atomic

Files = Mapping[str, Mapping[str, Any]]
"""Size and checksum by the path below an artifact's folder, as its manifest lists them."""

TICK_NS = 100_000_000
"""Two changes within a clock tick of the file system have one time; the ticks of those in use are shorter than this."""

SECOND_NS = 1_000_000_000

log = logging.getLogger(__name__)

_read_here: dict[tuple[Path, str], str] = {}
"""The stamp of each group that this process has read itself, by the artifact's folder."""


def memory_of(folder: Path) -> Path:
    """Where an artifact's stamps are kept: beside its folder, so that the folder holds what the manifest lists."""
    return folder.parent / f".{folder.name}.checked"


def damage_in(folder: Path, groups: Mapping[str, Files], fresh: bool = False) -> list[str]:
    """The files of some groups that are missing or changed; empty where all are whole.

    `fresh` trusts no other process: what this one has not read since it was changed, it reads.
    """
    known = {} if fresh else _remembered(folder)
    learnt: dict[str, str] = {}
    found: list[str] = []
    for group, files in groups.items():
        stamp, newest, wrong = _stamp(folder, files)
        if not wrong and stamp not in (_read_here.get((folder, group)), known.get(group)):
            wrong = [f"{name} has other bytes than when it was made" for name in _changed(folder, files)]
            if not wrong and _is_settled(newest):
                _read_here[folder, group] = learnt[group] = stamp
        found += wrong
    if learnt:
        _remember(folder, _remembered(folder) | learnt)
    return found


def table_digest(groups: Iterable[Files]) -> str:
    """One digest for the names and checksums of files: of the bytes that are read from an artifact."""
    table = sorted((name, str(record["blake3"])) for files in groups for name, record in files.items())
    return blake3(json.dumps(table).encode()).hexdigest()


def _stamp(folder: Path, files: Files) -> tuple[str, int, list[str]]:
    """The stamp of some files, the time of the newest change, and what is wrong with them already."""
    rows, wrong, newest = [], [], 0
    for name, record in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
            continue
        status = path.stat()
        if status.st_size != record["size"]:
            wrong.append(f"{name} has {status.st_size} bytes, the manifest says {record['size']}")
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        rows.append([name, record["blake3"], status.st_mtime_ns, status.st_ctime_ns, status.st_ino])
    return blake3(json.dumps(rows).encode()).hexdigest(16), newest, wrong


def _changed(folder: Path, files: Files) -> list[str]:
    return [name for name, record in sorted(files.items()) if digest_file(folder / name) != record["blake3"]]


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
