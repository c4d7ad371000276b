"""Files of this machine onto another file system: whole, compared, and taken up where a killed run left them.

A note beside the files, `.upload.json`, lists what is to lie there, and says at last that all of it does. Readers pass
over it, for its name begins with a dot.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from pipeline.errors import InvalidInput, Unreachable
from pipeline.machine.files import human_bytes
from pipeline.machine.progress import Advance, progress
from pipeline.remote.filesystem import Failed, Remote, error_line, with_retries
from pipeline.wording import few, how_many

NOTE = ".upload.json"
FINISHED = "finished"

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class FolderUpload:
    """Files that are to lie in a folder of another file system.

    Attributes:
        remote: the file system and the folder.
        files: where each lies here, by its path below the folder.
        records: its size and checksum, by the same path: what the note says.
        note: the name of the note in the folder. Another than `.upload.json` is that of one file, beside which there
            may be any others.
        replaced: names of files that may lie there with other content: `bring` sends them again.
    """

    remote: Remote
    files: Mapping[str, Path]
    records: Mapping[str, Mapping[str, Any]]
    note: str = NOTE
    replaced: frozenset[str] = frozenset()

    def is_there(self) -> bool:
        """Whether the very same files lie there, all of them, with their sizes.

        Raises Occupied where something else lies in the folder, or in the place of the one file.
        """
        noted, there = self._noted(), self._sizes()
        if noted is None:
            if there:
                raise Occupied(sorted(there))
            return False
        listed = self._listed()
        if self._lasting(noted["files"]) != self._lasting(listed):
            raise Occupied(sorted(there))
        return bool(noted[FINISHED]) and noted["files"] == listed and not self._missing(there)

    def was_begun(self) -> bool:
        """Whether a note says that these very files are on their way: what is there of their size is one of them."""
        noted = self._noted()
        return noted is not None and noted["files"] == self._listed()

    def bring(self, label: str) -> None:
        """Send what is not there yet with its size; then compare all sizes, and finish the note.

        `label` stands beside the bar. Raises Unreachable where the other side keeps failing: what has come stays, and
        the next call goes on from there. Raises InvalidInput where it refuses.
        """
        missing = self.begin()
        size = sum(int(self.records[name]["size"]) for name in missing)
        log.info("%s: %s (%s) to %s", label, how_many(len(missing), "files"), human_bytes(size), self.remote.address)
        with progress("upload", label, "bytes", size) as advance:
            self.send(missing, advance)
        self._write_note(finished=True)

    def begin(self) -> list[str]:
        """Write the note that says what is to lie there; the files that do not, or are to be sent again."""
        self._write_note(finished=False)
        return sorted({*self._missing(self._sizes()), *self.replaced})

    def send(self, missing: Sequence[str], advance: Advance) -> None:
        """Send files, then compare the sizes of all. `advance` is called with the bytes of each. Raises as `bring`."""
        with ThreadPoolExecutor(self.remote.together) as pool:
            stop = Event()
            futures = {pool.submit(self._send, name, stop): name for name in missing}
            try:
                for future in as_completed(futures):
                    future.result()
                    advance(int(self.records[futures[future]]["size"]))
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if lost := self._missing(self._sizes()):
            raise Unreachable(
                f"{self.remote.address} does not hold {few(lost)} as they were sent: something else writes there. Run "
                f"the same command again."
            )

    def _send(self, name: str, stop: Event) -> None:
        system, path = self.remote.reads, self._path(name)

        def put() -> None:
            self._make_folder(path)
            system.put_file(str(self.files[name]), path)

        self._ask(put, f"sending {name}", stop)

    def read(self, name: str) -> bytes | None:
        """A small file of the folder; None where it is not there."""
        path = self._path(name)
        try:
            content: bytes = self._ask(lambda: self.remote.reads.cat_file(path), f"reading {name}")
        except FileNotFoundError:
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Write a small file, in one step where the file system knows no half files."""
        path = self._path(name)

        def write() -> None:
            self._make_folder(path)
            self.remote.reads.pipe_file(path, content)

        try:
            self._ask(write, f"writing {name}")
        except FileNotFoundError as error:
            raise InvalidInput(
                f"{self.remote.address} cannot be written to: {error_line(error)}. Make the bucket, or its folder, "
                f"first."
            ) from error

    def others(self, names: Collection[str]) -> list[str]:
        """The files that lie in the folder besides those of some names, and the note."""
        return sorted(self._sizes().keys() - set(names))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files from the folder; those that are not there are no error."""
        for name in names:
            with suppress(FileNotFoundError):
                self._ask(partial(self.remote.reads.rm_file, self._path(name)), f"removing {name}")

    def _listed(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps({name: dict(self.records[name]) for name in self.files}))
        return plain

    def _noted(self) -> dict[str, Any] | None:
        """What the note says; None where there is none."""
        if (text := self.read(self.note)) is None:
            return None
        try:
            found = json.loads(text)
        except ValueError:  # a kill tore it
            return {"files": self._listed(), FINISHED: False}
        return found if isinstance(found, dict) and {"files", FINISHED} <= found.keys() else {"files": {}}

    def _write_note(self, finished: bool) -> None:
        self.put(self.note, json.dumps({"files": self._listed(), FINISHED: finished}).encode())

    def _sizes(self) -> dict[str, int]:
        """Of the files that are there, by their path below the folder: of all in it, or of that one file."""

        def look() -> dict[str, Any]:
            self.remote.lists.invalidate_cache()
            if self._shares_folder():
                paths = [path for name in self.files if self.remote.lists.exists(path := self._path(name))]
                return {path: self.remote.lists.info(path) for path in paths}
            found: dict[str, Any] = self.remote.lists.find(self.remote.path, detail=True)
            return found

        try:
            found = self._ask(look, "listing")
        except FileNotFoundError:
            return {}
        top = f"{self.remote.path.strip('/')}/"
        inside = {path.strip("/"): each for path, each in found.items() if path.strip("/").startswith(top)}
        sizes = {path.removeprefix(top): int(each["size"]) for path, each in inside.items()}
        return {name: size for name, size in sizes.items() if name != self.note}

    def _missing(self, there: Mapping[str, int]) -> list[str]:
        return [name for name in self.files if there.get(name) != self.records[name]["size"]]

    def _lasting(self, records: Mapping[str, Any]) -> dict[str, Any]:
        """Those that must lie there as they are."""
        return {name: record for name, record in records.items() if name not in self.replaced}

    def _shares_folder(self) -> bool:
        """Whether other files may lie beside these: those of one file."""
        return self.note != NOTE

    def _path(self, name: str) -> str:
        return f"{self.remote.path}/{name}"

    def _make_folder(self, path: str) -> None:
        """Where folders are real; a bucket has none."""
        if not self.remote.reads.async_impl:
            self.remote.reads.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _ask(self, step: Callable[[], T], what: str, stop: Event | None = None) -> T:
        try:
            return with_retries(step, f"{what} at {self.remote.address}", stop)
        except Failed as failed:
            raise Unreachable(
                f"{what.capitalize()} at {self.remote.address} {failed}. What has come is kept there: the same command "
                f"goes on. A bucket of Google takes what `gcloud auth application-default login` says who you are."
            ) from failed


class Occupied(InvalidInput):
    """Something else lies where files were to be sent."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(few(names))
