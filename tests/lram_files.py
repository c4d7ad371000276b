"""LRAM's folders, written as its own scripts write them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import h5py
import numpy as np

LENGTHS = (3, 1, 5)


def made(number: int, length: int, side: int = 84) -> dict[str, np.ndarray]:
    """The arrays of an episode as LRAM's download script makes them."""
    rng = np.random.default_rng(number)
    rewards = rng.integers(-1, 2, length).astype(np.float32)
    return {
        "states": rng.integers(0, 256, (length, 1, side, side), dtype=np.uint8),
        "actions": rng.integers(0, 6, length, dtype=np.int32),
        "rewards": rewards,
        "dones": np.float32(1.0),
        "returns_to_go": np.cumsum(rewards[::-1])[::-1].astype(np.float32),
    }


def write_file(path: Path, arrays: dict[str, np.ndarray]) -> None:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(arrays))
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                options = {"compression": "gzip", "compression_opts": 1} if np.ndim(array) else {}
                file.create_dataset(name, data=array, **options)


def write_game(folder: Path, *suffixes: str, side: int = 84) -> Path:
    """A game's folder with three episodes, each with the next of the suffixes; HDF5 without."""
    folder.mkdir(parents=True)
    for number, length in enumerate(LENGTHS):
        suffix = suffixes[number % len(suffixes)] if suffixes else ".hdf5"
        write_file(folder / f"{number:09}{suffix}", made(number, length, side))
    (folder / "episode_lengths.json").write_text(json.dumps({f"{n:09}": each for n, each in enumerate(LENGTHS)}))
    (folder / "stats.json").write_text(json.dumps({"slices": 1, "episodes": 3, "transitions": 9}))
    return folder
