"""Files of another file system onto this machine: whole, verified, and taken up where a killed run left them.

A file comes in ranges, which are appended to `.{name}.part` beside its place. A note, `.{name}.part.json`, says of
which file that part is. What has the listed size and checksums is renamed into place: a file of a proper name is whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

from blake3 import blake3

from pipeline.digest import digest_file
from pipeline.errors import InvalidInput, Unreachable
from pipeline.machine.extras import import_extra
from pipeline.machine.files import human_bytes, sync_folder, write_json
from pipeline.machine.lease import held
from pipeline.machine.progress import Advance, progress
from pipeline.remote.filesystem import Failed, Remote, with_retries

log = logging.getLogger(__name__)

RANGE_BYTES = 8 * 2**20
BLOCK_BYTES = 2**20
SPARE = 0.01
"""Of what is to come: kept free on the disk besides."""

LEASE = ".download.lease"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a listing.

    Attributes:
        remote: its path in the file system that was listed.
        size: bytes, more than 0 for one that is used.
        local: where it lies, or will lie once downloaded.
        md5: 16 bytes, where the listing tells.
        crc32c: where the listing tells.
        version: what else the listing tells of its content; an unfinished part of another version is begun anew.
        blake3: as 64 hexadecimal characters, where it is known.
        flush: whether it is flushed to disk before it gets its name. Otherwise a power cut may leave it torn: the
            caller flushes all files together, and looks at the checksums of those that an earlier call left.
    """

    remote: str
    size: int
    local: Path
    md5: bytes | None = None
    crc32c: int | None = None
    version: str = ""
    blake3: str = ""
    flush: bool = True

    @property
    def whole(self) -> bool:
        """Whether it lies on this machine with the listed size."""
        return self.local.is_file() and self.local.stat().st_size == self.size

    @property
    def part(self) -> Path:
        return self.local.with_name(f".{self.local.name}.part")

    @property
    def note(self) -> Path:
        return self.local.with_name(f".{self.local.name}.part.json")


def download(remote: Remote, files: Sequence[RemoteFile], folder: Path, label: str, setting: str) -> None:
    """Bring the `files` that are not whole yet below `folder`; the log first says how many, how large, from where.

    Several come at once (`Remote.together`). Another process that downloads into the same folder is waited for.
    `label` stands in the log and beside the bar; `setting` is the name of the setting of `folder`, for messages.

    Raises InvalidInput: a disk too small (before the first byte), a file that is no longer there, a server that keeps
    failing, bytes that do not have the listed checksums. What has come stays, and the next call goes on from there.
    """
    for empty in (file for file in files if file.size <= 0):
        raise InvalidInput(f"{empty.remote} of {remote.address} is listed with {empty.size} bytes: it holds no data.")
    with _held(sorted({file.local.parent for file in files if not file.whole})) as check:
        missing = list({file.local: file for file in files if not file.whole}.values())
        wanted = sum(file.size for file in missing)
        kept = sum(_kept(file) for file in missing)
        here = [file for file in files if file.whole]
        log.info(
            "%s: needed %s; here already %s; to download %s, from %s to %s%s",
            label,
            _counted(len(files), sum(file.size for file in files)),
            _counted(len(here), sum(file.size for file in here)),
            _counted(len(missing), wanted),
            remote.address,
            folder,
            f" ({human_bytes(kept)} of them came before)" if kept else "",
        )
        if missing:
            check_space(folder, wanted - kept, label, setting)
            if any(file.crc32c is not None for file in missing):
                _crc32c()  # now, not after hours, where it is not installed
            with progress("download", label, "bytes", wanted, kept) as advance:
                bring_files(remote, missing, advance, check)


def bring_files(remote: Remote, files: Sequence[RemoteFile], advance: Advance, check: Callable[[], None]) -> None:
    """Bring files of more than 0 bytes, for a caller who holds the lease of their folders; `check` raises without it.

    `advance` is called with the bytes that came. Raises as `download`, but looks for no space on the disk.
    """
    _Download(remote, advance, check).all(files)


def _counted(count: int, size: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'} ({human_bytes(size)})"


class _Download:
    """Threads that share a bar and end together."""

    def __init__(self, remote: Remote, advance: Advance, check: Callable[[], None]) -> None:
        self.remote = remote
        self._advance = advance
        self._check = check
        self._counting = Lock()
        self._stop = Event()

    def all(self, files: Sequence[RemoteFile]) -> None:
        with ThreadPoolExecutor(self.remote.together) as pool:
            futures = [pool.submit(self._one, file) for file in files]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, file: RemoteFile) -> None:
        for once_more in (True, False):
            taken = self._bring(file)
            if self._stop.is_set():
                return
            wrong = _wrong(file, taken)
            if wrong is None:
                _commit(file)
                return
            file.part.unlink()
            file.note.unlink(missing_ok=True)
            self._count(-file.size)
            if once_more:
                log.warning("%s came with %s; it is downloaded once more, from the beginning", file.remote, wrong)
        raise InvalidInput(
            f"{file.remote} of {self.remote.address} came twice with other bytes than are listed: {wrong}. Both were "
            f"removed. It changed after it was listed, or something on the way alters it: run the same command again."
        )

    def _bring(self, file: RemoteFile) -> str:
        """Append ranges to the part until it has the listed size, or another thread failed.

        Returns the BLAKE3 of the bytes, taken on their way; empty where some of them were there, or it is not known.
        """
        start = _kept(file)
        hasher = blake3() if file.blake3 and not start else None
        if not start:
            _begin(file)
        with file.part.open("ab") as part:
            while start < file.size and not self._stop.is_set():
                block = self._range(file, start, min(start + RANGE_BYTES, file.size))
                self._check()
                part.write(block)
                part.flush()
                if hasher is not None:
                    hasher.update(block)
                start += len(block)
                self._count(len(block))
        return hasher.hexdigest() if hasher is not None else ""

    def _range(self, file: RemoteFile, start: int, end: int) -> bytes:
        def ask() -> bytes:
            block: bytes = self.remote.reads.cat_file(file.remote, start=start, end=end)
            if not 0 < len(block) <= end - start:
                raise OSError(f"{len(block):,} bytes came where {end - start:,} were asked for")
            return block

        where = f"{file.remote} at byte {start:,} of {file.size:,}"
        try:
            return with_retries(ask, where, self._stop)
        except FileNotFoundError as error:
            raise InvalidInput(
                f"{file.remote} is listed with {file.size:,} bytes, but {self.remote.address} has it no longer (asked "
                f"for byte {start:,}). Run the same command again: it lists them again."
            ) from error
        except Failed as failed:
            raise Unreachable(
                f"Downloading {where} from {self.remote.address} {failed}. What has come is kept in "
                f"{file.local.parent}: the same command goes on from there."
            ) from failed

    def _count(self, size: int) -> None:
        with self._counting:
            self._advance(size)


def _identity(file: RemoteFile) -> dict[str, Any]:
    """What must be unchanged for a part to be continued: size and checksums, or the path where there are none."""
    checksums = {"md5": file.md5.hex() if file.md5 is not None else None, "crc32c": file.crc32c}
    checksums |= {"blake3": file.blake3} if file.blake3 else {}
    unknown = file.md5 is None and file.crc32c is None and not file.blake3
    other = {"remote": file.remote, **({"version": file.version} if file.version else {})}
    return {"size": file.size, **checksums, **(other if unknown else {})}


def _kept(file: RemoteFile) -> int:
    """Bytes of an unfinished part that can be continued; 0 where there is none."""
    if not file.part.is_file() or not file.note.is_file():
        return 0
    try:
        same = json.loads(file.note.read_bytes()) == _identity(file)
    except ValueError:  # a note that a power cut tore
        return 0
    size = file.part.stat().st_size
    return size if same and size <= file.size else 0


def _begin(file: RemoteFile) -> None:
    file.local.parent.mkdir(parents=True, exist_ok=True)
    file.part.unlink(missing_ok=True)
    if file.flush or file.size > RANGE_BYTES:  # of a file that comes at once there is nothing to go on with
        write_json(file.note, _identity(file))


def _commit(file: RemoteFile) -> None:
    if file.flush:
        with file.part.open("rb") as part:
            os.fsync(part.fileno())
    file.part.replace(file.local)
    if file.flush:
        sync_folder(file.local.parent)
    file.note.unlink(missing_ok=True)


def _wrong(file: RemoteFile, taken: str) -> str | None:
    """What of a finished part is not as listed, or None. `taken` is its BLAKE3 where that was taken on the way."""
    size = file.part.stat().st_size
    if size != file.size:
        return f"{size:,} bytes instead of {file.size:,}"
    if file.blake3 and (taken := taken or digest_file(file.part)) != file.blake3:
        return f"BLAKE3 {taken[:16]} instead of {file.blake3[:16]}"
    md5, crc32c = hashlib.md5(usedforsecurity=False), None
    if file.crc32c is not None:
        crc32c = _crc32c()
    if file.md5 is None and crc32c is None:
        return None
    with file.part.open("rb") as part:
        while block := part.read(BLOCK_BYTES):
            if file.md5 is not None:
                md5.update(block)
            if crc32c is not None:
                crc32c.update(block)
    if file.md5 is not None and md5.digest() != file.md5:
        return f"MD5 {md5.hexdigest()} instead of {file.md5.hex()}"
    if crc32c is not None and int.from_bytes(crc32c.digest(), "big") != file.crc32c:
        return f"CRC32C {crc32c.hexdigest().decode()} instead of {file.crc32c:08x}"
    return None


def _crc32c() -> Any:
    return import_extra("gcs", "google_crc32c").Checksum()


def check_space(folder: Path, needed: int, label: str, setting: str) -> None:
    """Raises InvalidInput where the disk of a folder has no room for so many bytes; `setting` names the folder."""
    stands = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(stands).free
    needed += int(needed * SPARE)
    if needed > free:
        raise InvalidInput(
            f"{label} needs {human_bytes(needed)} more below {folder}, but that disk has {human_bytes(free)} free. "
            f"Nothing was written. Make room, choose a folder on a larger disk with {setting}=FOLDER, or ask for "
            f"less."
        )


@contextmanager
def _held(folders: Sequence[Path]) -> Iterator[Callable[[], None]]:
    """Hold the leases of these folders, so that no two processes write one part; gives a check that they are held."""
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        checks = [stack.enter_context(held(folder / LEASE, f"downloading into {folder}")) for folder in folders]

        def check() -> None:
            for each in checks:
                each()

        yield check
