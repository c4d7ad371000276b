"""D4RL files as others write them, by h5py alone, and what offline-RL code reads of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

LENGTHS = (3, 1, 4)
ENDS = ("terminal", "timeout", "timeout")


def d4rl_arrays(tail: int = 2) -> dict[str, np.ndarray]:
    """Three episodes and a tail; observation 100 * episode + row, the action its tenth."""
    lengths = [*LENGTHS, tail]
    observations = np.concatenate([100 * number + np.arange(length) for number, length in enumerate(lengths)])
    rows = len(observations)
    lasts = np.cumsum(LENGTHS) - 1
    terminals, timeouts = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    terminals[lasts[[end == "terminal" for end in ENDS]]] = True
    timeouts[lasts[[end == "timeout" for end in ENDS]]] = True
    return {
        "observations": np.stack([observations, np.full(rows, 0.5)], axis=1).astype(np.float32),
        "actions": (observations[:, None] / 10).astype(np.float32),
        "rewards": (observations + 0.25).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
    }


def write_d4rl(path: Path, arrays: dict[str, Any]) -> Path:
    """A file with these datasets; names with `/` make groups."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip" if np.ndim(array) else None)
    return path


def every_dataset(path: Path) -> dict[str, Any]:
    """Every dataset of a file that its walk meets, arrays whole, as OfflineEnv.get_dataset takes them."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def transitions(data: dict[str, Any]) -> dict[str, np.ndarray]:
    """What Q-learning code takes: each row with the one after it, but for the last row and those that time out."""
    keep = ~data["timeouts"][:-1].astype(bool)
    return {
        "observations": data["observations"][:-1][keep],
        "actions": data["actions"][:-1][keep],
        "next_observations": data["observations"][1:][keep],
        "rewards": data["rewards"][:-1][keep],
        "terminals": data["terminals"][:-1][keep].astype(bool),
    }
