"""Where an export is laid, on this machine or elsewhere: what both kinds of places can do, and how they are named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, Self

from pipeline.artifacts.whole import Files

OUT = "format.out"


class Out(Protocol):
    """Where an export is laid; as a text the address that people know it by.

    Attributes:
        elsewhere: it is no place of this machine: what is sent there is read back and compared first.
    """

    elsewhere: bool = False

    def require_possible(self, store: Path) -> None:
        """Raises InvalidInput where nothing can be laid, before hours of work."""

    def with_signposts(self, signposts: Mapping[str, bytes]) -> Self:
        """The same place, where these files are laid, too (`pipeline.formats.contract.Format.signposts`)."""

    def is_free(self, files: Files | None) -> bool:
        """Whether something is to be laid there: False where the very same files are there already.

        `files` are those of the export, None where they are not known yet. Signposts that are there may be others.
        Raises InvalidInput where something else is there.
        """

    def lay(self, data: Path, files: Files, label: str) -> bool:
        """Lay the export there, whose data are in the folder `data`; False where another process has just done so.

        `label` stands beside a bar.
        """


def names_file(asked: str, suffixes: tuple[str, ...]) -> bool:
    """Whether `format.out` is the name of the one file of a form, and not that of a folder."""
    return asked.endswith(suffixes)


def another_place(asked: str) -> str:
    """`runs/a-2.hdf5` for `runs/a.hdf5`."""
    above, slash, name = asked.rstrip("/").rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    return f"{above}{slash}" + (f"{stem}-2{dot}{suffix}" if stem else f"{name}-2")


def files_inside(files: Files, place: PurePosixPath) -> list[tuple[str, Mapping[str, Any]]]:
    """The files of `place`, by their path below it; `.` is that of a file itself."""
    found = []
    for name, record in files.items():
        path = PurePosixPath(name)
        if path.is_relative_to(place):
            found.append((path.relative_to(place).as_posix(), record))
    return found
