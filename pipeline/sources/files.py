"""A file or folder that a source reads: where it is, and what identifies it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.digest import combine, digest_file
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.files import files_below, is_plain_file
from pipeline.machine.secrets import refuse_password


def local_path(path: str, wanted: str) -> Path:
    """`source.path` as a path. Raises InvalidInput where nothing lies there; `wanted` says what should."""
    refuse_password(path, "source.path")
    place = Path(path).expanduser()
    if not place.exists():
        raise InvalidInput(f"source.path={path} is not there. Wanted: {wanted}.")
    return place


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


def file_of_task(path: str, task: str, suffixes: Sequence[str], wanted: str) -> Path:
    """The file at `source.path`, or in a folder the one that has the name of the task and one of the suffixes.

    Raises InvalidInput where nothing lies there, UnknownName for a task that the folder does not have.
    """
    place = local_path(path, wanted)
    if not place.is_dir():
        return place
    files = [file for file in files_below(place) if file.suffix in suffixes and not file.name.startswith(".")]
    named = {file.relative_to(place).with_suffix("").as_posix(): file for file in files}
    if not named:
        raise InvalidInput(
            f"source.path={path} is a folder without a file of {' or '.join(suffixes)}. Wanted: {wanted}."
        )
    if task not in named:
        raise unknown_name(f"task in {path}", task, named)
    return named[task]
