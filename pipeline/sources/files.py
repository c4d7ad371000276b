"""A file or folder that a source reads: where it is, and what identifies it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.digest import combine, digest_file
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.files import files_below, is_plain_file
from pipeline.machine.secrets import refuse_password
from pipeline.remote.filesystem import scrubbed
from pipeline.remote.mirror import Keep, mirrored

SETTING = "source.path"


_here: dict[tuple[str, ...], Path] = {}
"""Copies of what lies elsewhere that were looked after since `look_again`, by what was asked."""


def local_path(
    path: str, wanted: str, cache: str | None = None, keep: Keep | None = None, beside: Sequence[str] = ()
) -> Path:
    """`source.path` as a path. Raises InvalidInput where nothing lies there; `wanted` says what should.

    An fsspec URL (`s3://`, `gs://`, `hf://`, `https://`, ...) is copied to this machine first, below `cache`, or else
    the user's folder of caches; `keep` and `beside` say what of it (`pipeline.remote.mirror`). A later call looks
    whether it changed, but not before `look_again`: what identifies the data and what reads them see the same files.
    """
    path = str(path)  # a folder called 123 is typed as a number
    refuse_password(path, SETTING)
    protocol, mark, rest = path.partition("://")
    if mark and protocol not in ("file", "local"):
        return _copied(path, wanted, cache, keep, beside)
    place = Path(rest if mark else path).expanduser()
    if not place.exists():
        raise InvalidInput(f"{SETTING}={path} is not there. Wanted: {wanted}.")
    return place


def look_again() -> None:
    """Forget which copies were looked after: the next call of `local_path` asks whether they are still the same."""
    _here.clear()


def _copied(path: str, wanted: str, cache: str | None, keep: Keep | None, beside: Sequence[str]) -> Path:
    folder = Path(cache).expanduser() if cache else _user_cache()
    asked = (path, str(folder), *beside, repr(keep))
    if asked not in _here:
        try:
            _here[asked] = mirrored(path, folder, SETTING, keep, beside)
        except FileNotFoundError as error:
            raise InvalidInput(f"{SETTING}={scrubbed(path)} is not there. Wanted: {wanted}.") from error
    return _here[asked]


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "repertoire" / "downloads"


def files_identity(path: Path, only: Iterable[Path] | None = None) -> dict[str, Any]:
    """Facts of a file, or of all files below a folder, that stay when it moves: how many, bytes, one digest.

    With `only`, of these files below it. Raises InvalidInput for what is no file, such as a pipe or a link to nothing.
    """
    files = sorted(files_below(path) if only is None else only) if path.is_dir() else [path]
    if absent := [file for file in files if not is_plain_file(file)]:
        raise InvalidInput(f"{absent[0]} is a link to a file that is not there. Copy it again.")
    names = [file.relative_to(path).as_posix() if path.is_dir() else "" for file in files]
    digests = [digest_file(file) for file in files]
    content = combine(f"{name}\0{digest}\0".encode() for name, digest in zip(names, digests, strict=True))
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files), "digest": content}


def file_of_task(path: str, task: str, suffixes: Sequence[str], wanted: str, cache: str | None = None) -> Path:
    """The file at `source.path`, or in a folder the one that has the name of the task and one of the suffixes.

    Of a folder that lies elsewhere, that file alone is copied. Raises InvalidInput where nothing lies there,
    UnknownName for a task that the folder does not have.
    """
    chosen = OfTask(path, task, tuple(suffixes), wanted)
    place = local_path(path, wanted, cache, chosen)
    if not place.is_dir():
        return place
    inside = [file.relative_to(place).as_posix() for file in files_below(place)]
    return place / chosen(inside)[0]


@dataclass(frozen=True)
class OfTask:
    """Which of a folder's files is that of a task."""

    path: str
    task: str
    suffixes: tuple[str, ...]
    wanted: str

    def __call__(self, names: Sequence[str]) -> Sequence[str]:
        """That one name. Raises InvalidInput for a folder of other files, UnknownName for a task that is not there."""
        files = [PurePosixPath(name) for name in names]
        known = [file for file in files if file.suffix in self.suffixes and not file.name.startswith(".")]
        named = {file.with_suffix("").as_posix(): file.as_posix() for file in known}
        if not named:
            raise InvalidInput(
                f"{SETTING}={self.path} is a folder without a file of {' or '.join(self.suffixes)}. Wanted: "
                f"{self.wanted}."
            )
        if self.task not in named:
            raise unknown_name(f"task in {self.path}", self.task, named)
        return [named[self.task]]


@dataclass(frozen=True)
class InFolders:
    """Which of a folder's files lie in some of its folders."""

    folders: tuple[str, ...]

    def __call__(self, names: Sequence[str]) -> Sequence[str]:
        return [name for name in names if name.startswith(tuple(f"{folder}/" for folder in self.folders))]
