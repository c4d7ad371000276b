"""A full disk, whichever library meets it: which file it was about, and which disk has no room."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_WORDS = re.compile(
    "|".join([*map(re.escape, map(os.strerror, NO_ROOM)), "database or disk is full", r"os error (28|122)\b"]),
    re.IGNORECASE,
)
"""What libraries say in errors of their own: tensorstore, Arrow, safetensors, torch, SQLite."""

_FILE = re.compile(r"""["'<](/[^"'<>]+)["'>]""")

SHARED_MEMORY = Path("/dev/shm")

FULL = 2**20
"""A disk with fewer free bytes is full."""


@dataclass(frozen=True)
class FullDisk:
    """Where there was no room.

    Attributes:
        file: what was being written; None where the error does not say.
        disk: the mount point of the full file system; None where none is found full any more.
    """

    file: Path | None
    disk: Path | None


def full_disk(error: BaseException, root: Path) -> FullDisk | None:
    """What an error says of a full disk; None where it is about something else. `root` is where artifacts lie."""
    for each in _chain(error):
        number = each.errno if isinstance(each, OSError) else None
        if number not in NO_ROOM and not _WORDS.search(str(each)):
            continue
        named = each.filename if isinstance(each, OSError) else None
        found = _FILE.search(str(each))
        file = named if isinstance(named, str) and named else found[1] if found else None
        if file is not None:
            return FullDisk(Path(file), mount_point(Path(file)))
        places = (root, SHARED_MEMORY, Path(tempfile.gettempdir()))
        return FullDisk(None, next((mount_point(place) for place in places if has_no_room(place)), None))
    return None


def mount_point(path: Path) -> Path:
    """The mount point of the file system that holds `path`, or would hold it."""
    path = path.absolute()
    while not (path.exists() and os.path.ismount(path)) and path != path.parent:
        path = path.parent
    return path


def has_no_room(place: Path) -> bool:
    """Whether the disk that holds `place`, or would hold it, has no room to speak of."""
    while not place.exists():
        place = place.absolute().parent
    return shutil.disk_usage(place).free < FULL


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, the outermost first."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
