"""Many small files, finished in batches: flushed together, then renamed, so that what has a final name is whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from pipeline.machine.files import sync_folder, sync_tree
from pipeline.machine.threads import available_cores

BATCH_BYTES = 256 * 2**20
BATCH_FILES = 1024
"""What may be lost to a kill, at most: one batch."""

RUN_BYTES = 2**20
"""What a thread is given at once. Small files one by one would take it longer to get than to write."""

Write = Callable[[Path], None]


class FileBatches:
    """Writes files of a folder on several threads. What is unfinished has a name that begins with a dot.

    A flush for each file would wait for the disk once for each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._place = folder, f"{folder}{os.sep}"
        self._threads = ThreadPoolExecutor(available_cores())
        self._most = 2 * available_cores()
        self._waiting: list[tuple[str, Write]] = []
        self._waiting_bytes = 0
        self._running: list[Future[None]] = []
        self._written: list[str] = []
        self._bytes = 0
        for left in folder.glob(".*"):
            left.unlink()

    def add(self, name: str, write: Write, size: int) -> None:
        """Let `write` write the file `name` of about `size` bytes. Waits while many are under way."""
        if self._bytes >= BATCH_BYTES or len(self._written) >= BATCH_FILES:
            self.finish()
        self._waiting.append((name, write))
        self._written.append(name)
        self._waiting_bytes += size
        self._bytes += size
        if self._waiting_bytes >= RUN_BYTES:
            self._start()

    def finish(self) -> None:
        """Give all files so far their names. Raises what a writer raised."""
        self._start()
        while self._running:
            self._running.pop(0).result()
        if self._written:
            sync_tree(self._folder)
            for name in self._written:
                os.rename(f"{self._place}.{name}", f"{self._place}{name}")  # noqa: PTH104  # a Path takes longer to make
            sync_folder(self._folder)
        self._written, self._bytes = [], 0

    def _start(self) -> None:
        """Give a thread the files that wait."""
        while len(self._running) >= self._most:
            self._running.pop(0).result()
        self._running.append(self._threads.submit(self._write, self._waiting))
        self._waiting, self._waiting_bytes = [], 0

    def _write(self, files: list[tuple[str, Write]]) -> None:
        for name, write in files:
            write(self._folder / f".{name}")

    def __enter__(self) -> FileBatches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None or not issubclass(kind, OSError):
                self.finish()
        finally:
            self._threads.shutdown()
