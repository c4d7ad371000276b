"""An export is sent to another file system: a bucket, or whatever fsspec knows an address for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from blake3 import blake3

from pipeline.artifacts.whole import Files
from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.formats.places import OUT, Out, another_place, files_inside, names_file
from pipeline.remote.filesystem import Remote, connect
from pipeline.remote.upload import NOTE, FolderUpload, Occupied


@dataclass(frozen=True)
class RemoteOut(Out):
    """A place of another file system.

    Attributes:
        asked: `format.out` as it was typed.
        remote: the file system, and the folder that the export lies in or becomes there.
        file: the name of its one file in that folder; empty for an export that is a folder.
        place: what of the artifact's data is sent.
        signposts: what else is sent.
    """

    asked: str
    remote: Remote
    file: str
    place: PurePosixPath
    link: bool
    elsewhere: bool = True
    signposts: Mapping[str, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.remote.address}/{self.file}".rstrip("/")

    def with_signposts(self, signposts: Mapping[str, bytes]) -> RemoteOut:
        return replace(self, signposts=signposts)

    def require_possible(self, store: Path) -> None:
        if self.link:
            raise InvalidInput(
                f"format.link=true: {self} is no place of this machine. Copy instead: {again(format__link=False)}"
            )

    def is_free(self, files: Files | None) -> bool:
        try:
            return not self._upload(Path(), files or {self.place.as_posix(): {"size": -1}}, Path()).is_there()
        except Occupied as found:
            raise InvalidInput(
                f"{OUT}: {self} is there and is not this export: it holds {found}. Nothing is written over it.\n"
                f"Choose another place: {again(format__out=another_place(self.asked))}"
            ) from found

    def lay(self, data: Path, files: Files, label: str) -> bool:
        with TemporaryDirectory(prefix="signposts-") as folder:
            for name, text in self.signposts.items():
                (Path(folder) / name).write_bytes(text)
            self._upload(data, files, Path(folder)).bring(label)
        return True

    def _upload(self, data: Path, files: Files, signposts: Path) -> FolderUpload:
        """The files of `data` by the names that they have there, and those of the folder `signposts`."""
        records = {self.file if name == "." else name: record for name, record in files_inside(files, self.place)}
        paths = {name: data / self.place if name == self.file else data / self.place / name for name in records}
        for name, text in self.signposts.items():
            paths[name] = signposts / name
            records[name] = {"size": len(text), "blake3": blake3(text).hexdigest()}
        note = f".{self.file}{NOTE}" if self.file else NOTE
        return FolderUpload(self.remote, paths, records, note, frozenset(self.signposts))


def remote_out(asked: str, place: PurePosixPath, suffixes: tuple[str, ...], link: bool) -> RemoteOut:
    """Where `place` of an export lies at an address of fsspec. Raises InvalidInput for one that cannot be used."""
    remote = connect(asked, OUT, writes=True)
    if names_file(asked, suffixes):
        path, address, file = _above(remote.path), _above(remote.address), PurePosixPath(remote.path).name
    else:
        inside = place.parent if suffixes else place
        below = "" if inside == PurePosixPath() else f"/{inside}"
        path, address, file = (
            f"{remote.path}{below}",
            f"{remote.address.rstrip('/')}{below}",
            place.name if suffixes else "",
        )
    return RemoteOut(asked, replace(remote, path=path, address=address), file, place, link)


def _above(path: str) -> str:
    return path.rpartition("/")[0]
