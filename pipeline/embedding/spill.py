"""Vectors that are in no durable block of the array yet, kept on disk against a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pipeline.machine.files import write_spilled

ROWS = "rows"


class Spill:
    """One file for each block of rows, `<first>-<after the last>`: whole by its rename, or absent.

    A power cut may tear a file; what cannot be read is as if it were not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def save(self, start: int, rows: Float32[np.ndarray, "n d"]) -> None:
        """Keep the rows [start, start + len(rows))."""
        write_spilled(self._folder / f"{start}-{start + len(rows)}.safetensors", {ROWS: np.ascontiguousarray(rows)})

    def load(self, position: int, width: int) -> Float32[np.ndarray, "n d"] | None:
        """Kept rows from `position` on, (n, width) float32."""
        for path, first, after in self._files():
            if first <= position < after:
                try:
                    rows = load_file(path)[ROWS]
                except (OSError, SafetensorError, KeyError):
                    continue
                if rows.dtype == np.float32 and rows.shape == (after - first, width):
                    return rows[position - first :]
        return None

    def drop(self, done: int) -> None:
        """Remove the files of rows before `done`, which are durable elsewhere now."""
        for path, _, after in self._files():
            if after <= done:
                path.unlink()

    def _files(self) -> list[tuple[Path, int, int]]:
        found = []
        for path in self._folder.glob("*-*.safetensors"):
            first, after = path.stem.split("-")
            found.append((path, int(first), int(after)))
        return found
