"""An export is laid out where the user wants it: a file or folder of this machine that appears in one step."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile

from pipeline.artifacts.whole import Files
from pipeline.command import again
from pipeline.digest import digest_file
from pipeline.errors import InvalidInput
from pipeline.formats.places import OUT, Out, another_place, files_inside, names_file
from pipeline.formats.sending import remote_out
from pipeline.machine.files import files_below, sync_file, sync_folder, sync_tree
from pipeline.machine.lease import held
from pipeline.machine.secrets import refuse_password
from pipeline.wording import few

LOCAL = "file://"


@dataclass(frozen=True)
class LocalOut(Out):
    """A place of this machine.

    Attributes:
        asked: `format.out` as it was typed.
        path: the file or folder that the export becomes there.
        place: what of the artifact's data is laid there.
        link: give the store's files a second name there instead of copying them.
        signposts: what else is laid there.
    """

    asked: str
    path: Path
    place: PurePosixPath
    link: bool = False
    signposts: Mapping[str, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.path)

    def with_signposts(self, signposts: Mapping[str, bytes]) -> LocalOut:
        return replace(self, signposts=signposts)

    def require_possible(self, store: Path) -> None:
        if self.path.is_relative_to(store) or store.is_relative_to(self.path):
            raise InvalidInput(
                f"{OUT}: {self.path} and the store {store} lie one inside the other. Choose a place beside it: "
                f"{again(format__out='exports')}"
            )
        stands = next(place for place in self.path.parents if place.exists() or place.is_symlink())
        if not stands.is_dir():
            raise InvalidInput(
                f"{OUT}: {stands} is a file; {self.path.name} needs a folder there. Choose another place: "
                f"{again(format__out=another_place(self.asked))}"
            )
        try:
            TemporaryFile(dir=stands).close()
        except OSError as error:
            raise InvalidInput(
                f"{OUT}: nothing can be written in {stands} ({error.strerror}). Choose another place: {OUT}=FOLDER"
            ) from error

    def is_free(self, files: Files | None) -> bool:
        path = self.path
        if not path.exists() and not path.is_symlink():
            return True
        if files is not None and self._lies_there(files):
            return not all(_holds(path / name, text) for name, text in self.signposts.items())
        if path.is_dir() and not any(path.iterdir()):
            return True
        names = sorted(each.name for each in path.iterdir()) if path.is_dir() else []
        there = f"it holds {few(names)}" if names else "it is another file"
        if wrong := self._wrong(files) if files is not None and names else []:
            there = few(wrong, 2)
        raise InvalidInput(
            f"{OUT}: {path} is there and is not this export: {there}. Nothing is written over it.\n"
            f"Remove it first: rm -r {shlex.quote(str(path))}\nOr choose another place: "
            f"{again(format__out=another_place(self.asked))}"
        )

    def lay(self, data: Path, files: Files, label: str) -> bool:
        """See `Out`. It is written under a hidden name beside the place, `.NAME.partial`; one that a killed run left
        is removed. Another process that lays something there is waited for.
        """
        with folder_made(self.path.parent):
            return self._lay(data / self.place, files)

    def _lay(self, source: Path, files: Files) -> bool:
        with held(self.path.with_name(f".{self.path.name}.lease"), f"laying {self.path}") as check:
            unfinished = self.path.with_name(f".{self.path.name}.partial")
            _remove(unfinished)
            if not self.is_free(files):
                return False
            if self.path.exists() and self._lies_there(files):
                self._replace_signposts(unfinished)
                return True
            try:
                self._write(source, unfinished)
                check()
                if self.path.is_dir():
                    self.path.rmdir()  # it is empty
                unfinished.rename(self.path)
            except BaseException:
                _remove(unfinished)
                raise
            sync_folder(self.path.parent)
        return True

    def _write(self, source: Path, copy: Path) -> None:
        if not source.is_dir():
            copy_or_link(source, copy, self.link)
            sync_file(copy)
            return
        copy.mkdir()
        for file in files_below(source):  # copytree would go on after an error, and hide which
            place = copy / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            copy_or_link(file, place, self.link)
        for name, text in self.signposts.items():
            (copy / name).write_bytes(text)
        sync_tree(copy)

    def _lies_there(self, files: Files) -> bool:
        """Whether the files of the export are there, whatever the signposts say."""
        there = {name: digest for name, digest in _files_at(self.path).items() if name not in self.signposts}
        return there == {name: record["blake3"] for name, record in files_inside(files, self.place)}

    def _wrong(self, files: Files) -> list[str]:
        """What is missing of the files of the export, or differs, or is none of them; nothing where none is there."""
        there = {name: digest for name, digest in _files_at(self.path).items() if name not in self.signposts}
        wanted = {name: record["blake3"] for name, record in files_inside(files, self.place)}
        if not there.keys() & wanted.keys():
            return []
        differing = [f"{name} differs" for name in sorted(wanted) if name in there and there[name] != wanted[name]]
        missing = [f"{name} is missing" for name in sorted(wanted.keys() - there.keys())]
        return differing + missing + [f"{name} is none of its files" for name in sorted(there.keys() - wanted.keys())]

    def _replace_signposts(self, unfinished: Path) -> None:
        for name, text in self.signposts.items():
            if not _holds(self.path / name, text):
                unfinished.write_bytes(text)
                sync_file(unfinished)
                unfinished.replace(self.path / name)
        sync_folder(self.path)


@contextmanager
def folder_made(folder: Path) -> Iterator[None]:
    """A folder that is there; what was made of it is taken away again where nothing could be laid in it."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # another process lays something there
            for each in new:
                each.rmdir()
        raise


def place_out(asked: str, place: PurePosixPath, suffixes: tuple[str, ...], link: bool) -> Out:
    """Where `place` of an export lies in `format.out`. A form of one file takes the name of that file, or a folder."""
    refuse_password(asked, OUT)
    if "://" in asked and not asked.startswith(LOCAL):
        return remote_out(asked, place, suffixes, link)
    top = Path(asked.removeprefix(LOCAL)).expanduser().absolute()
    return LocalOut(asked, top if names_file(asked, suffixes) else top / place, place, link)


def copy_or_link(source: Path, copy: Path, link: bool) -> None:
    """Copy a file of the store, or give it a second name. Raises InvalidInput where it cannot have one there."""
    if link:
        _link(source, copy)
        return
    try:
        shutil.copyfile(source, copy)
    except OSError as error:  # of two names the first is taken for what could not be written
        raise OSError(error.errno, error.strerror, str(copy)) from error


def _link(source: Path, copy: Path) -> None:
    try:
        os.link(source, copy)
    except OSError as error:
        raise InvalidInput(
            f"format.link=true: {copy} cannot be a second name of a file of the store ({error.strerror}).\n"
            f"Copy instead: {again(format__link=False)}"
        ) from error


def _holds(path: Path, text: bytes) -> bool:
    return path.is_file() and path.read_bytes() == text


def _files_at(path: Path) -> dict[str, str]:
    if path.is_file():
        return {".": digest_file(path)}
    return {file.relative_to(path).as_posix(): digest_file(file) for file in files_below(path)}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
