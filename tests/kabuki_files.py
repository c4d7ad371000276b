"""Kabuki files as others would write them, by h5py alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

LENGTHS = (3, 1, 0, 4)
"""Transitions: one episode that terminates, one that is truncated, one of a single row, one that terminates."""

ENDS = (True, False, False, True)


def kabuki_arrays(lengths: tuple[int, ...] = LENGTHS, ends: tuple[bool, ...] = ENDS) -> dict[str, np.ndarray]:
    """The seven datasets, with numbers that say where they stand: observation 100 * episode + row."""
    rows: dict[str, list[Any]] = {}
    for number, (length, terminal) in enumerate(zip(lengths, ends, strict=True)):
        for row in range(length + 1):
            last = row == length
            step = {
                "observation": [100 * number + row, 0.5],
                "action": [0.0 if last else 10 * number + row],
                "reward": 0.0 if last else row + 0.25,
                "discount": 0.0 if last or (terminal and row == length - 1) else 1.0,
                "is_first": row == 0,
                "is_last": last,
                "is_terminal": last and terminal,
            }
            for name, value in step.items():
                rows.setdefault(name, []).append(value)
    numbers = {name: np.array(rows[name], np.float32) for name in ("observation", "action", "reward", "discount")}
    return numbers | {name: np.array(rows[name], np.bool_) for name in ("is_first", "is_last", "is_terminal")}


def write_kabuki(path: Path, arrays: dict[str, Any]) -> Path:
    """A file with these datasets; names with `/` make groups."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip" if np.ndim(array) else None)
    return path
