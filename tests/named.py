"""Names that lead elsewhere, put into files of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def name_in_hdf5(path: Path, rows: int, name: str, group: str = "/") -> None:
    """One more array of so many rows in a group. HDF5 itself refuses such names, so that they are put in afterwards."""
    stand_in = "x" * len(name.encode())
    with h5py.File(path, "a") as file:
        file[group][stand_in] = np.arange(rows)
    path.write_bytes(path.read_bytes().replace(f"{stand_in}\0".encode(), f"{name}\0".encode()))


def edited_json(path: Path, change: Callable[[Any], object]) -> None:
    """Change what a JSON file holds."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
