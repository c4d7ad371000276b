"""Vectors that are in no durable block of the array yet, kept on disk against a kill, or for another job."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pipeline.digest import digest_arrays
from pipeline.machine.files import write_spilled

ROWS, CHECK = "rows", "check"
"""The vectors of a file, and their digest."""


class Spill:
    """One file for each block of rows, `<first>-<after the last>`: whole by its rename, or absent.

    A power cut may tear a file, and a disk change it; what is not as it was made is as if it were not there. Files that
    other processes write later are not seen.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._files: dict[tuple[int, int], Path] = {}
        for path in folder.glob("*-*.safetensors"):
            if ends := re.fullmatch(r"(\d+)-(\d+)", path.stem):
                self._files[int(ends[1]), int(ends[2])] = path

    def save(self, start: int, rows: Float32[np.ndarray, "n d"]) -> None:
        """Keep the rows [start, start + len(rows))."""
        arrays = {ROWS: np.ascontiguousarray(rows)}
        path = self._folder / f"{start}-{start + len(rows)}.safetensors"
        write_spilled(path, arrays | {CHECK: np.frombuffer(digest_arrays(arrays), np.uint8)})
        self._files[start, start + len(rows)] = path

    def load(self, position: int, width: int) -> Float32[np.ndarray, "n d"] | None:
        """Kept rows from `position` on, (n, width) float32. A file that is not as it was made is removed."""
        for first, after in [ends for ends in self._files if ends[0] <= position < ends[1]]:
            path = self._files[first, after]
            rows = _rows_in(path)
            if rows is not None and rows.dtype == np.float32 and rows.shape == (after - first, width):
                return rows[position - first :]
            path.unlink(missing_ok=True)
            del self._files[first, after]
        return None

    def following(self, position: int) -> int | None:
        """The first kept row after `position`; None where no file begins after it."""
        return min((first for first, _ in self._files if first > position), default=None)

    def holds(self, start: int, stop: int) -> bool:
        """Whether one file has the rows [start, stop)."""
        return any(first <= start and stop <= after for first, after in self._files)

    def drop(self, done: int) -> None:
        """Remove the files of rows before `done`, which are durable elsewhere now."""
        self._remove([ends for ends in self._files if ends[1] <= done])

    def drop_inside(self, start: int, stop: int) -> None:
        """Remove the files of some of the rows [start, stop), all of which are in one file now."""
        self._remove([ends for ends in self._files if start <= ends[0] and ends[1] <= stop and ends != (start, stop)])

    def _remove(self, files: list[tuple[int, int]]) -> None:
        for ends in files:
            self._files.pop(ends).unlink(missing_ok=True)


def _rows_in(path: Path) -> Float32[np.ndarray, "n d"] | None:
    """The rows of a file; None where it is torn, or they are not those that were written."""
    try:
        arrays = load_file(path)
        check = arrays.pop(CHECK)
        return arrays[ROWS] if digest_arrays(arrays) == check.tobytes() else None
    except (OSError, SafetensorError, KeyError):
        return None
