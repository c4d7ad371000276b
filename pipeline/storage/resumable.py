"""Arrays of a draft, written in order, resumed at the last durable block, hashed on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.digest import ArrayDigest
from pipeline.machine.files import read_json, write_json
from pipeline.storage.contract import Rows, Storage, block_rows

PROGRESS = "progress.json"


class ArrayWriter:
    """Rows [0, n) of one array, appended in blocks of any size.

    `done` says how many rows an earlier, killed run had made durable: the caller begins there.
    """

    def __init__(
        self,
        storage: Storage,
        folder: Path,
        journal: Path,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.name, self.shape, self.dtype = name, shape, np.dtype(dtype)
        self._journal = journal
        self._digest = ArrayDigest(name, self.dtype, shape)
        self.done = read_json(journal).get(name, 0) if journal.exists() else 0
        if self.done:
            self._target = storage.resume(folder, name)
            array = storage.open(folder)[name]
            for start in range(0, self.done, step := block_rows(shape, self.dtype)):
                self._digest.update(array[start : min(start + step, self.done)])
        else:
            self._target = storage.create(folder, name, shape, self.dtype)
        rows = min(block_rows(shape, self.dtype), max(1, shape[0] - self.done))
        self._buffer = np.empty((rows, *shape[1:]), self.dtype)
        self._filled = 0

    def append(self, block: Rows) -> None:
        """Add rows. A block becomes durable when the buffer is full or the array is complete."""
        if block.dtype != self.dtype or block.shape[1:] != self.shape[1:]:
            raise ValueError(f"{self.name} takes {self.dtype} {self.shape[1:]}, got {block.dtype} {block.shape[1:]}")
        taken = 0
        while taken < len(block):
            count = min(len(block) - taken, len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + count] = block[taken : taken + count]
            self._filled += count
            taken += count
            if self._filled == len(self._buffer) or self.done + self._filled == self.shape[0]:
                self._flush()

    @property
    def appended(self) -> int:
        """Rows so far, durable or not."""
        return self.done + self._filled

    def close(self) -> bytes:
        """The array's digest. Raises ValueError when rows are missing."""
        if self.done != self.shape[0]:
            raise ValueError(f"{self.name} has {self.done + self._filled} of {self.shape[0]} rows")
        return self._digest.digest()

    def _flush(self) -> None:
        block = self._buffer[: self._filled]
        self._target.write(self.done, block)
        self._digest.update(block)
        self.done += self._filled
        self._filled = 0
        progress = read_json(self._journal) if self._journal.exists() else {}
        write_json(self._journal, progress | {self.name: self.done})
