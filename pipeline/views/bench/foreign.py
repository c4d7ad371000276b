"""Exports, read as the packages of their owners read them.

It imports no other module of this project, so that the Python of another environment can run it, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int64

    from pipeline.views.bench.readers import PlaceReader, WindowBatch


class Hdf5Reader:
    """LRAM's way with its files: each window opens its episode's file and reads a slice of each array."""

    def __init__(self, place: str, length: int) -> None:
        stems = json.loads(Path(place, "episode_lengths.json").read_text())
        self._files = [str(Path(place, f"{stem}.hdf5")) for stem in stems]
        self._length = length

    def read(self, episodes: Int64[np.ndarray, " n"], starts: Int64[np.ndarray, " n"]) -> WindowBatch:
        """As `PlaceReader`."""
        import h5py

        windows = []
        for episode, start in zip(episodes.tolist(), starts.tolist(), strict=True):
            with h5py.File(self._files[episode], "r") as file:
                names = ("states", "actions", "rewards")
                windows.append({name: file[name][start : start + self._length] for name in names})
        return _stacked(windows)


class MinariReader:
    """Minari's `dataset[episode]`, which reads a whole episode, and a slice of that."""

    def __init__(self, place: str, length: int) -> None:
        self._place, self._length = place, length
        self._opened: Any = None

    def read(self, episodes: Int64[np.ndarray, " n"], starts: Int64[np.ndarray, " n"]) -> WindowBatch:
        """As `PlaceReader`."""
        windows = []
        for episode, start in zip(episodes.tolist(), starts.tolist(), strict=True):
            read = self._dataset()[episode]
            rows = slice(start, start + self._length)
            seen = {f"observations/{key}": array for key, array in _leaves(read.observations)}
            windows.append(
                {name: array[rows] for name, array in (seen | {"a": read.actions, "r": read.rewards}).items()}
            )
        return _stacked(windows)

    def _dataset(self) -> Any:
        if self._opened is None:
            path = Path(self._place)
            os.environ["MINARI_DATASETS_PATH"] = str(path.parents[2])
            import minari

            self._opened = minari.load_dataset("/".join(path.parts[-3:]))
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}


class LeRobotReader:
    """`LeRobotDataset` with `delta_timestamps`: one item a window."""

    def __init__(self, place: str, length: int) -> None:
        self._place, self._length = place, length
        self._opened: Any = None

    def read(self, episodes: Int64[np.ndarray, " n"], starts: Int64[np.ndarray, " n"]) -> WindowBatch:
        """As `PlaceReader`."""
        dataset, first = self._dataset()
        windows = []
        for episode, start in zip(episodes.tolist(), starts.tolist(), strict=True):
            item = dataset[int(first[episode]) + start]
            windows.append({name: np.asarray(item[name]) for name in self._names})
        return _stacked(windows)

    def _dataset(self) -> Any:
        if self._opened is None:
            _let_torchvision_load()
            from lerobot.datasets.lerobot_dataset import LeRobotDataset

            info = json.loads(Path(self._place, "meta/info.json").read_text())
            seen = [name for name in info["features"] if name.startswith("observation")]
            self._names = [*seen, "action", "next.reward"]
            deltas = [step / info["fps"] for step in range(self._length)]
            dataset = LeRobotDataset("any/name", root=self._place, delta_timestamps=dict.fromkeys(self._names, deltas))
            self._opened = dataset, np.asarray(dataset.meta.episodes["dataset_from_index"])
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}


class D3rlpyReader:
    """d3rlpy's `sample_trajectory_batch` of an `MDPDataset`, which holds all of the data in memory and draws itself."""

    def __init__(self, place: str, length: int) -> None:
        self._place, self._length = place, length
        self._opened: Any = None

    def read(self, episodes: Int64[np.ndarray, " n"], starts: Int64[np.ndarray, " n"]) -> WindowBatch:
        """As `PlaceReader`, but that the episodes and rows are d3rlpy's own choice."""
        read = self._dataset().sample_trajectory_batch(len(episodes), self._length)
        return {name: np.asarray(getattr(read, name)) for name in ("observations", "actions", "rewards")}

    def _dataset(self) -> Any:
        if self._opened is None:
            import h5py
            from d3rlpy.dataset import MDPDataset

            with h5py.File(self._place) as file:
                names = ("observations", "actions", "rewards", "terminals", "timeouts")
                arrays = {name: file[name][:] for name in names}
            if arrays["observations"].ndim == 3:  # grey pictures have a channel here
                arrays["observations"] = arrays["observations"][:, None]
            self._opened = MDPDataset(**arrays)
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}


FOREIGN: Mapping[str, tuple[Callable[[str, int], PlaceReader], str, str]] = {
    "hdf5": (Hdf5Reader, "h5py", "LRAM's HDF5 files, one an episode"),
    "minari": (MinariReader, "minari", "Minari, whole episodes"),
    "lerobot": (LeRobotReader, "lerobot", "LeRobot, delta timestamps"),
    "d4rl": (D3rlpyReader, "d3rlpy", "d3rlpy, all in memory"),
}
"""The form of an export, its reader, the package that it needs, and what the reader is."""


def lacks(form: str) -> str:
    """Why this Python cannot read a form as its owner does, and what to install; empty where it can."""
    package = FOREIGN[form][1]
    return "" if find_spec(package) else f"{package} is not installed: pip install {package}"


def _leaves(held: Any, path: str = "") -> list[tuple[str, Any]]:
    """The arrays of nested observations."""
    if not isinstance(held, dict):
        return [(path, held)]
    return [leaf for key, each in held.items() for leaf in _leaves(each, f"{path}/{key}")]


def _stacked(windows: list[dict[str, Any]]) -> WindowBatch:
    """A batch of windows, as a default collate makes it."""
    return {name: np.stack([window[name] for window in windows]) for name in windows[0]}


def _let_torchvision_load() -> None:
    """Define the two operators without which a torchvision does not load beside a torch for the CPU."""
    from torch import library, ops

    global _operators
    if not hasattr(ops.torchvision, "nms"):
        _operators = library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_operators: Any = None
