"""An export is laid out where the user wants it: a file or folder that appears in one step, or a place elsewhere."""

from __future__ import annotations

import os
import shlex
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.artifacts.whole import Files
from pipeline.command import again
from pipeline.digest import digest_file
from pipeline.errors import InvalidInput
from pipeline.machine.files import files_below, sync_folder, sync_tree
from pipeline.machine.secrets import refuse_password
from pipeline.wording import few


def laid_at(out: str, place: PurePosixPath, suffix: str) -> Path:
    """Where `place` of an export lies in `out`. A form of one file takes the name of that file, or a folder for it."""
    refuse_password(out, "format.out")
    top = Path(out).expanduser().absolute()
    return top if suffix and top.suffix == suffix else top / place


def require_free(path: Path, place: PurePosixPath, files: Files | None) -> bool:
    """Whether something is to be laid at `path`: False where the very same is there already.

    Raises InvalidInput where something else is there.
    """
    if not path.exists() and not path.is_symlink():
        return True
    if files is not None and _files_at(path) == {name: record["blake3"] for name, record in _inside(files, place)}:
        return False
    if path.is_dir() and not any(path.iterdir()):
        return True
    names = few(sorted(each.name for each in path.iterdir())) if path.is_dir() else "a file"
    raise InvalidInput(
        f"format.out: {path} exists and holds something else: {names}. Nothing is written over it.\nRemove it first: "
        f"rm -r {shlex.quote(str(path))}\nOr choose another place: {again(format__out=f'{path}-2')}"
    )


def lay(data: Path, place: PurePosixPath, path: Path, link: bool) -> None:
    """Copy `place` of the folder `data` to `path`, or with `link` give its files a second name there.

    What is unfinished has a hidden name beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        copy = _link if link else _copy
        source = data / place
        if source.is_dir():
            shutil.copytree(source, unfinished, copy_function=copy)
            sync_tree(unfinished)
        else:
            copy(str(source), str(unfinished))
        if path.is_dir():
            path.rmdir()  # it is empty
        unfinished.rename(path)
        sync_folder(path.parent)
    except BaseException:
        _remove(unfinished)
        raise


def _copy(source: str, copy: str) -> None:
    shutil.copyfile(source, copy)
    with open(copy, "rb") as file:
        os.fsync(file.fileno())


def _link(source: str, copy: str) -> None:
    try:
        os.link(source, copy)
    except OSError as error:
        raise InvalidInput(
            f"format.link=true: {copy} cannot be a second name of a file of the store ({error.strerror}).\n"
            f"Copy instead: {again(format__link='false')}"
        ) from error


def _inside(files: Files, place: PurePosixPath) -> list[tuple[str, Mapping[str, Any]]]:
    """The files of `place`, by their path below it."""
    found = []
    for name, record in files.items():
        path = PurePosixPath(name)
        if path.is_relative_to(place):
            found.append((path.relative_to(place).as_posix(), record))
    return found


def _files_at(path: Path) -> dict[str, str]:
    if path.is_file():
        return {".": digest_file(path)}
    return {file.relative_to(path).as_posix(): digest_file(file) for file in files_below(path)}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
