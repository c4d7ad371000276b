"""Many small files, finished in batches: flushed together, then renamed, so that what has a final name is whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from pipeline.machine.files import sync_folder, sync_tree
from pipeline.machine.threads import available_cores

BATCH_BYTES = 256 * 2**20
BATCH_FILES = 1024
"""What may be lost to a kill, at most: one batch."""


class FileBatches:
    """Writes files of a folder on several threads. What is unfinished has a name that begins with a dot.

    A flush for each file would wait for the disk once for each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(available_cores())
        self._most = 2 * available_cores()
        self._running: list[Future[None]] = []
        self._written: list[Path] = []
        self._bytes = 0
        for left in folder.glob(".*"):
            left.unlink()

    def add(self, name: str, write: Callable[[Path], None], size: int) -> None:
        """Let `write` write the file `name` of about `size` bytes. Waits while many are under way."""
        if self._bytes >= BATCH_BYTES or len(self._written) >= BATCH_FILES:
            self.finish()
        while len(self._running) >= self._most:
            self._running.pop(0).result()
        path = self._folder / f".{name}"
        self._running.append(self._threads.submit(write, path))
        self._written.append(path)
        self._bytes += size

    def finish(self) -> None:
        """Give all files so far their names. Raises what a writer raised."""
        while self._running:
            self._running.pop(0).result()
        if self._written:
            sync_tree(self._folder)
        for path in self._written:
            path.rename(path.with_name(path.name[1:]))
        if self._written:
            sync_folder(self._folder)
        self._written, self._bytes = [], 0

    def __enter__(self) -> FileBatches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None or not issubclass(kind, OSError):
                self.finish()
        finally:
            self._threads.shutdown()
