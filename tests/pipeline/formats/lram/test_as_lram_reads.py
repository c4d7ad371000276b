"""Files are read as LRAM's buffer reads them, by code of its own, and what it samples is what the dataset holds."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline.episode import Episode
from pipeline.formats.contract import Outgoing
from pipeline.formats.lram.format import LramFormat
from tests.pipeline.formats.lram.test_settings import listed, plain

CONTEXT = 20
PAD = -1
NAMES = ("states", "actions", "rewards", "returns_to_go")


class Buffer:
    """Context windows of a folder that stays on disk.

    A trajectory is drawn by its length, then the end of the window; the window never ends with the last step. The flag
    of the end goes to the last row of each window. Windows that are too short are padded on the left.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        files = [path for suffix in ("npz", "hdf5", "pkl") for path in sorted(folder.glob(f"*.{suffix}"))]
        lengths = json.loads((folder / "episode_lengths.json").read_text())
        self.files, self.rng = files, rng
        self.lengths = [lengths[path.stem] for path in files]

    def sample(self) -> tuple[int, int, int, dict[str, np.ndarray]]:
        """Number of the trajectory, first and last row of the window, and its arrays."""
        (number,) = self.rng.choices(range(len(self.files)), weights=self.lengths)
        end = self.rng.randrange(1, max(self.lengths[number], 2))
        start = max(end - CONTEXT, 0)
        read = _read(self.files[number], slice(start, end))
        assert "returns_to_go" in read
        dones = np.zeros(end - start, np.float32)
        dones[-1] = float(read.pop("dones"))
        short = CONTEXT - (end - start)
        window = {name: _padded(array, short, PAD if name == "actions" else 0) for name, array in read.items()}
        window |= {"dones": _padded(dones, short, 0), "mask": _padded(np.ones(end - start), short, 0)}
        return number, start, end, window


def _read(path: Path, rows: slice) -> dict[str, Any]:
    if path.suffix == ".hdf5":
        with h5py.File(path, "r") as file:
            return {**{name: file[name][rows] for name in NAMES}, "dones": file["dones"][()]}
    if path.suffix == ".npz":
        loaded = np.load(path, mmap_mode="r")
        return {**{name: loaded[name][rows] for name in NAMES}, "dones": loaded["dones"]}
    with path.open("rb") as opened:
        held = pickle.load(opened)
    return {**{name: held[name][rows] for name in NAMES}, "dones": held["dones"]}


def _padded(array: np.ndarray, short: int, value: float) -> np.ndarray:
    return np.concatenate([np.full((short, *array.shape[1:]), value, array.dtype), array])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Outgoing:
    rng = np.random.default_rng(3)
    return listed(tmp_path_factory.mktemp("pictures"), *(_episode(rng, length) for length in (70, 1, 12, 33)))


def _episode(rng: np.random.Generator, length: int) -> Episode:
    frames = rng.integers(0, 256, (length + 1, 10, 12), dtype=np.uint8)
    return plain(frames, rng.integers(0, 6, length, dtype=np.int32), terminated=True, end_reason="terminated")


@pytest.mark.parametrize("file", ["hdf5", "npz", "npzc", "pkl"])
def test_windows_are_those_of_the_dataset(pictures, tmp_path, file):
    form = LramFormat(file, returns_to_go=True)
    form.write([pictures], tmp_path)
    buffer = Buffer(tmp_path / form.place([pictures]), random.Random(4))
    assert buffer.lengths == pictures.dataset.lengths.tolist()
    episodes = list(pictures.dataset)
    drawn = set()
    for _ in range(40):
        number, start, end, window = buffer.sample()
        drawn.add(number)
        steps, size = episodes[number].steps, end - start
        assert window["states"].shape == (CONTEXT, 1, 10, 12)
        np.testing.assert_array_equal(window["states"][-size:, 0], steps["observation"][start:end])
        np.testing.assert_array_equal(window["actions"][-size:], steps["action"][start:end])
        np.testing.assert_array_equal(window["rewards"][-size:], steps["reward"][start:end])
        np.testing.assert_array_equal(
            window["returns_to_go"][-size:], np.arange(len(steps["reward"]) - 1, 0, -1)[start:end]
        )
        assert window["mask"].sum() == size
        assert window["dones"].tolist() == [0.0] * (CONTEXT - 1) + [1.0]
    assert len(drawn) > 2
