"""What is remembered of an artifact: in hidden files beside its folder, which holds what its manifest lists alone.

All of it can be made again from the artifact: it may be removed, and is made in a private place where the folder's
neighbourhood can only be read.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

CHECKED, INDEX, ROWS, STATISTICS = KEPT = ("checked", "index", "rows", "statistics")
"""Stamps of files that were found whole; a dataset's index; its small rows, decoded; means and deviations of arrays."""


def hidden_beside(folder: Path, ending: str) -> Path:
    """Where something of an artifact is kept: `.NAME.ending` beside its folder."""
    return folder.parent / f".{folder.name}.{ending}"


def private_place(folder: Path, ending: str) -> Path | None:
    """Where this user alone keeps it on this machine instead; None where there is no such place either."""
    own = Path(tempfile.gettempdir()) / f"repertoire-{os.getuid()}"
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        status = own.lstat()
    except OSError:
        return None
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o077:
        return None  # somebody else made it, and could change what is read from it
    name = blake3(os.fsencode(folder.absolute())).hexdigest(12)
    return own / f"{name}.{ending}"


def hidden_places(folder: Path, ending: str) -> Iterator[Path]:
    """Where it may be kept, the first choice first."""
    yield hidden_beside(folder, ending)
    if (path := private_place(folder, ending)) is not None:
        yield path


def forget(folder: Path) -> None:
    """Remove all that is kept beside an artifact's folder, which is gone."""
    for ending in KEPT:
        remove(hidden_beside(folder, ending))


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def left_alone(folder: Path) -> Iterator[Path]:
    """What is kept in a kind's folder of artifacts that are not there any more."""
    for path in sorted(folder.iterdir()):
        name, _, ending = path.name.removeprefix(".").rpartition(".")
        if path.name.startswith(".") and ending in KEPT and name and not (folder / name).exists():
            yield path
