"""A copy on this machine of a file or folder that lies elsewhere: fetched once, taken up after a kill, kept like it.

    FOLDER/
      .mirror.json    the address; size and version of each file, as listed before it was fetched
      NAME            the file, or the folder with its files

What was listed otherwise since is fetched anew, and what is listed no longer is removed. Names that begin with a dot
are nobody's data.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pipeline.digest import short_hash
from pipeline.errors import DamagedArtifact, InvalidInput, Unreachable
from pipeline.keys import stays_inside
from pipeline.machine.files import is_plain_file, read_json, write_json
from pipeline.machine.lease import held
from pipeline.remote.download import RemoteFile, download
from pipeline.remote.filesystem import Failed, Remote, connect, with_retries
from pipeline.wording import few

RECORD, LEASE = ".mirror.json", ".mirror.lease"
LONGEST = 60
"""Characters of an address that a folder is named by, before its hash."""

VERSIONS = (
    *("md5Hash", "crc32c", "generation", "ETag", "etag", "Content-MD5", "blob_id", "sha256", "checksum"),
    *("Last-Modified", "LastModified", "last_modified", "mtime", "updated", "modified", "created"),
)
"""What file systems list of a file that is another once its content is."""

T = TypeVar("T")

Keep = Callable[[Sequence[str]], Sequence[str]]
"""Of the names of all files below a folder, those that are wanted."""


class ListedFile(NamedTuple):
    """A file as it is listed: its path in the file system, bytes, what tells its content, and checksums if known."""

    remote: str
    size: int
    version: str
    md5: bytes | None
    crc32c: int | None


def mirrored(address: str, cache: Path, setting: str, keep: Keep | None = None, beside: Sequence[str] = ()) -> Path:
    """The file or folder at an fsspec URL, on this machine, below `cache`.

    Args:
        address: the URL. A web server gives one file.
        cache: where copies are kept, each in a folder of its own.
        setting: of the address, for messages: `source.path`.
        keep: of a folder, which files are wanted; all, unless given.
        beside: names of files that are fetched as well where they lie in the folder of the file.

    Raises FileNotFoundError where nothing is there; InvalidInput as `download` does, for names that lead elsewhere, and
    where files change while they are fetched; Unreachable where nothing answers.
    """
    remote = connect(address, setting, one_file=True)
    files, is_file = _listing(remote, setting, beside)  # first, so that nothing is left of an address that is none
    place = cache / _folder_name(address)
    place.mkdir(parents=True, exist_ok=True)
    with held(place / LEASE, f"copying {remote.address} to {place}"):
        chosen = list(files) if keep is None or is_file else list(keep(list(files)))
        top = place if is_file else place / _last_name(remote.path)
        _forget_changed(place, top, files, chosen)
        wanted = [_remote_file(top / name, files[name]) for name in chosen]
        if any(not file.whole for file in wanted):
            _fetch(remote, wanted, place, _last_name(remote.path))
            again = _listing(remote, setting, beside)[0]
            if changed := [name for name in chosen if again.get(name) != files[name]]:
                raise InvalidInput(
                    f"{remote.address} changed while it was copied: {few(changed)}. Run the same command again, when "
                    f"nobody writes there."
                )
    return top / _last_name(remote.path) if is_file else top


def _fetch(remote: Remote, files: Sequence[RemoteFile], place: Path, label: str) -> None:
    places = {file.local for file in files}
    if both := [file.local.name for file in files if not places.isdisjoint(file.local.parents)]:
        raise InvalidInput(
            f"{remote.address} holds a file and a folder of one name, above {few(both)}: no disk holds both."
        )
    for file in files:
        file.local.parent.mkdir(parents=True, exist_ok=True)
        if not file.size:
            file.local.touch()
    download(remote, [file for file in files if file.size], place, label, "source.cache")


def _forget_changed(place: Path, top: Path, files: Mapping[str, ListedFile], chosen: Sequence[str]) -> None:
    """Remove what is here of another version, and write down which version is fetched now, before it is."""
    record = _record(place)
    facts = {name: [file.size, file.version] for name, file in files.items()}
    for name in {*record, *chosen}:
        if record.get(name) != facts.get(name) and stays_inside(name):
            stale = RemoteFile("", 0, top / name)
            for path in (stale.local, stale.part, stale.note):
                path.unlink(missing_ok=True)
    kept = {name: each for name, each in record.items() if facts.get(name) == each}
    write_json(place / RECORD, {"files": kept | {name: facts[name] for name in chosen}})


def _record(place: Path) -> dict[str, Any]:
    """Size and version of each file that was fetched; nothing where that is not known."""
    try:
        found = read_json(place / RECORD).get("files") if is_plain_file(place / RECORD) else {}
    except (DamagedArtifact, AttributeError):  # a power cut tore it: all is fetched again
        return {}
    return found if isinstance(found, dict) else {}


def _listing(remote: Remote, setting: str, beside: Sequence[str]) -> tuple[dict[str, ListedFile], bool]:
    """The files by their name below the folder, and whether it is one file. Raises FileNotFoundError for none."""
    remote.lists.invalidate_cache()
    there = _ask(remote, setting, partial(_info, remote, remote.path))
    if there["type"] == "file":
        return _single(remote, setting, there, beside), True
    found = _ask(remote, setting, lambda: remote.lists.find(remote.path, detail=True))
    inside = {_below(path, remote): each for path, each in found.items() if each["type"] == "file" and path[-1] != "/"}
    files = {name: _listed(each["name"], each, remote) for name, each in inside.items() if not _is_hidden(name)}
    if not files:
        raise FileNotFoundError(remote.address)
    return dict(sorted(files.items())), False


def _single(remote: Remote, setting: str, there: Mapping[str, Any], beside: Sequence[str]) -> dict[str, ListedFile]:
    folder, name = remote.path.rpartition("/")[0], _last_name(remote.path)
    files = {name: _listed(remote.path, there, remote)}
    for other in beside:
        path = f"{folder}/{other}"
        try:
            found = _ask(remote, setting, partial(_info, remote, path))
        except FileNotFoundError:
            continue
        files[other] = _listed(path, found, remote)
    return files


def _listed(path: str, facts: Mapping[str, Any], remote: Remote) -> ListedFile:
    size = facts.get("size")
    if size is None or facts.get("partial") is False:
        raise InvalidInput(
            f"{remote.address} does not say how large {_last_name(path)} is, or gives no part of it alone, so that a "
            f"download could not be taken up again. Fetch it by other means, and give the file."
        )
    version = "; ".join(f"{name} {facts[name]}" for name in VERSIONS if facts.get(name) is not None)
    return ListedFile(path, int(size), version, *_checksums(facts))


def _checksums(facts: Mapping[str, Any]) -> tuple[bytes | None, int | None]:
    """MD5 and CRC32C, which Google's storage lists in base 64; None for what is none."""
    md5, crc32c = (_base64(facts.get(name)) for name in ("md5Hash", "crc32c"))
    return md5 if md5 and len(md5) == 16 else None, int.from_bytes(crc32c, "big") if crc32c else None


def _base64(text: Any) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        return None


def _remote_file(local: Path, file: ListedFile) -> RemoteFile:
    return RemoteFile(file.remote, file.size, local, file.md5, file.crc32c, file.version)


def _below(path: str, remote: Remote) -> str:
    """The part of a listed path that lies below the folder. Raises InvalidInput where it leads elsewhere."""
    base = f"{remote.path}/"
    inner = path.removeprefix(base)
    if not path.startswith(base) or not stays_inside(inner):
        shown = path.encode("unicode_escape").decode()
        raise InvalidInput(
            f"The listing of {remote.address} has the file {shown}, whose name leads out of that folder. Nothing was "
            f"fetched. Rename it there, or look who wrote it."
        )
    return inner


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _last_name(path: str) -> str:
    """Of a file or folder; of an address on the web without its query."""
    name = re.sub(r"[?#].*", "", path).rstrip("/").rpartition("/")[2]
    return name if stays_inside(name) and not _is_hidden(name) else "data"


def _folder_name(address: str) -> str:
    """What can be recognised of an address, and a hash of all of it."""
    words = re.sub(r"[^\w.-]+", "-", re.sub(r"[?#].*", "", address).partition("://")[2]).strip("-.")
    return f"{words[-LONGEST:].strip('-.')}-{short_hash(address.rstrip('/'))}"


def _info(remote: Remote, path: str) -> dict[str, Any]:
    """What is listed of a path. fsspec calls every failure of a web server a file that is not there."""
    try:
        found: dict[str, Any] = remote.lists.info(path)
    except FileNotFoundError as error:
        if error.__cause__ is None or getattr(error.__cause__, "status", None) in (404, 410):
            raise
        raise error.__cause__ from None
    return found


def _ask(remote: Remote, setting: str, step: Callable[[], T]) -> T:
    try:
        return with_retries(step, f"listing {remote.address}")
    except Failed as failed:
        raise Unreachable(
            f"Listing {remote.address} {failed}. Check {setting} and the network, and run the same command again; or "
            f"give a file or folder with a copy."
        ) from failed
