"""The writers that people have today, an episode or a step at a time: LRAM's loop, Minari's and LeRobot's own."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.episode import Episode
from pipeline.formats.contract import Outgoing
from tests.interop.side import run_by, tool


@dataclass(frozen=True)
class Writer:
    """A writer that people use.

    Attributes:
        name: as it stands in the table.
        write: seconds for these episodes, with a folder to write in, by a clock of the module `time`.
        most: it is given so many steps at most; the rest is projected.
    """

    name: str
    write: Callable[[list[Episode], Path, str], float]
    most: int = sys.maxsize

    def seconds(self, data: Outgoing, folder: Path, clock: str) -> tuple[str, float] | None:
        """Its name and what it takes for the whole set; None where it cannot be had here."""
        count = max(1, min(len(data), self.most * len(data) // data.dataset.states))
        place = Path(tempfile.mkdtemp(dir=folder))
        try:
            taken = self.write(list(itertools.islice(data.dataset, count)), place, clock)
        except tool().NotHere as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            return None
        if count == len(data):
            return self.name, taken
        return f"{self.name}, PROJECTED from {count} of {len(data):,} episodes", taken * len(data) / count


def lram_hdf5(episodes: list[Episode], place: Path, clock: str) -> float:
    """A file an episode, chunks as h5py guesses them, gzip of level 1; two JSON files beside them."""
    start = getattr(time, clock)()
    lengths, returns = {}, {}
    for number, episode in enumerate(episodes):
        arrays = _lram(episode)
        with h5py.File(place / f"{number:09d}.hdf5", "w") as file:
            for name, array in arrays.items():
                packed = {} if name == "dones" else {"compression": "gzip", "compression_opts": 1}
                file.create_dataset(name, data=array, **packed)
        lengths[f"{number:09d}"], returns[f"{number:09d}"] = episode.length, float(sum(arrays["rewards"]))
    for name, value in (("episode_lengths", lengths), ("episode_returns", returns)):
        (place / f"{name}.json").write_text(json.dumps(value))
    return getattr(time, clock)() - start


def lram_npzc(episodes: list[Episode], place: Path, clock: str) -> float:
    """A compressed file an episode."""
    start = getattr(time, clock)()
    for number, episode in enumerate(episodes):
        np.savez_compressed(place / f"{number:09d}.npz", **_lram(episode))
    return getattr(time, clock)() - start


def _lram(episode: Episode) -> dict[str, np.ndarray]:
    steps = episode.steps
    states = steps["observation"][:-1]
    if states.ndim == 3:
        states = states[:, None]
    return {
        "states": states,
        "actions": steps["action"][:-1],
        "rewards": steps["reward"][:-1].astype(np.float32),
        "dones": np.array(1.0, np.float32),
    }


def lram_d3rlpy(episodes: list[Episode], place: Path, clock: str) -> float:
    """The loop of `lram_hdf5` over the episodes of an `MDPDataset`, which makes an object of each transition."""
    return _timed("lram", _by_d3rlpy, episodes, place, clock)


def minari(episodes: list[Episode], place: Path, clock: str) -> float:
    """`create_dataset_from_buffers`; a buffer holds a list of steps, as its collector leaves it."""
    return _timed("minari", _by_minari, episodes, place, clock)


def lerobot(episodes: list[Episode], place: Path, clock: str) -> float:
    """`add_frame` for each step and `save_episode`; pictures as images."""
    return _timed("lerobot", _by_lerobot, episodes, place, clock)


def _timed(
    name: str, function: Callable[..., dict[str, Any]], episodes: list[Episode], place: Path, clock: str
) -> float:
    """Seconds that a function takes in a side environment for the arrays of these episodes."""
    python = tool().environment(name)
    for array in ("observation", "action", "reward"):
        np.save(place / f"{array}.npy", np.stack([episode.steps[array] for episode in episodes]))
    return float(run_by(python, function, place, clock)["seconds"])


def _by_d3rlpy(place: str, clock: str) -> dict[str, Any]:
    import importlib
    import importlib.util
    import json
    import sys
    import time
    import types

    import h5py
    import numpy as np

    found = importlib.util.find_spec("d3rlpy")
    package = types.ModuleType("d3rlpy")  # without its algorithms, which want torch
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["d3rlpy"] = package
    datasets = importlib.import_module("d3rlpy.dataset")

    observations, actions, rewards = (np.load(f"{place}/{name}.npy") for name in ("observation", "action", "reward"))
    terminals = np.zeros(rewards[:, :-1].shape, np.float32)
    terminals[:, -1] = 1
    states, actions, rewards = (
        np.concatenate(list(array[:, :-1])) for array in (observations, actions, rewards.astype(np.float32))
    )
    if states.ndim == 3:
        states = states[:, None]
    start = getattr(time, clock)()
    dataset = datasets.MDPDataset(states, actions, rewards, terminals.reshape(-1))
    lengths, returns = {}, {}
    for number, episode in enumerate(dataset.episodes):
        arrays = {"states": episode.observations, "actions": episode.actions, "rewards": episode.rewards}
        with h5py.File(f"{place}/{number:09d}.hdf5", "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array, compression="gzip", compression_opts=1)
            file.create_dataset("dones", data=np.float32(episode.terminal))
        lengths[f"{number:09d}"], returns[f"{number:09d}"] = len(episode), float(sum(episode.rewards))
    for name, value in (("episode_lengths", lengths), ("episode_returns", returns)):
        with open(f"{place}/{name}.json", "w") as file:
            json.dump(value, file)
    return {"seconds": getattr(time, clock)() - start}


def _by_minari(place: str, clock: str) -> dict[str, Any]:
    import os
    import time

    import numpy as np
    from gymnasium.spaces import Box, Discrete

    os.environ["MINARI_DATASETS_PATH"] = f"{place}/datasets"
    import minari
    from minari.data_collector import EpisodeBuffer

    observations, actions, rewards = (np.load(f"{place}/{name}.npy") for name in ("observation", "action", "reward"))
    pictures = observations.dtype == np.uint8
    space = (
        Box(0, 255, observations.shape[2:], np.uint8)
        if pictures
        else Box(-np.inf, np.inf, observations.shape[2:], observations.dtype)
    )
    start = getattr(time, clock)()
    ends = np.zeros(len(rewards[0]) - 1, bool)
    ends[-1] = True
    buffers = [
        EpisodeBuffer(
            id=number,
            observations=list(observations[number]),
            actions=list(actions[number, :-1]),
            rewards=rewards[number, :-1].tolist(),
            terminations=np.zeros_like(ends).tolist(),
            truncations=ends.tolist(),
        )
        for number in range(len(observations))
    ]
    minari.create_dataset_from_buffers(
        "toy/corner-v0",
        buffers,
        observation_space=space,
        action_space=Discrete(18) if actions.ndim == 2 else Box(-np.inf, np.inf, actions.shape[2:], actions.dtype),
        jpeg_encoding=False,
    )
    return {"seconds": getattr(time, clock)() - start}


def _by_lerobot(place: str, clock: str) -> dict[str, Any]:
    import time

    import numpy as np
    from torch import library

    operators = library.Library("torchvision", "DEF")  # beside a torch for the CPU a torchvision may lack these two
    for missing in ("nms", "qnms"):
        operators.define(f"{missing}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    observations, actions = (np.load(f"{place}/{name}.npy") for name in ("observation", "action"))
    pictures = observations.dtype == np.uint8
    if pictures:  # it takes three channels
        observations = np.repeat(observations[..., None], 3, axis=-1)
    name = "observation.image" if pictures else "observation.state"
    actions = actions.reshape(*actions.shape[:2], -1).astype(np.float32)
    if actions.shape[2] == 1:
        actions = np.repeat(actions, 2, 2)
    each = {"dtype": "image" if pictures else "float32", "shape": observations.shape[2:], "names": None}
    features = {
        name: each,
        "action": {"dtype": "float32", "shape": actions.shape[2:], "names": None},
    }  # 0.4.4 fails at single numbers, such as rewards, with today's NumPy
    observations = observations if pictures else observations.astype(np.float32)
    start = getattr(time, clock)()
    dataset = LeRobotDataset.create("toy/corner", fps=30, features=features, root=f"{place}/out", use_videos=False)
    for number in range(len(observations)):
        for step in range(len(actions[number]) - 1):
            frame = {name: observations[number, step], "action": actions[number, step]}
            dataset.add_frame(frame | {"task": "corner"})
        dataset.save_episode()
    if hasattr(dataset, "finalize"):
        dataset.finalize()
    return {"seconds": getattr(time, clock)() - start}


WRITERS = {
    "hdf5": (Writer("LRAM's loop", lram_hdf5), Writer("LRAM's writing, with d3rlpy's objects", lram_d3rlpy)),
    "npzc": (Writer("LRAM's loop", lram_npzc),),
    "minari": (Writer("minari.create_dataset_from_buffers", minari),),
    "lerobot": (Writer("LeRobot's own writer", lerobot, most=2_000),),
}
"""By the name of the form."""


def of_bulk(writer: float | None, ours: float, bulk: float | None) -> str:
    """Where neither we nor its library in bulk are five times as fast as a writer: how far the library gets."""
    if writer is None or bulk is None or writer >= 5 * min(ours, bulk):
        return ""
    return f"its library, in bulk, is {writer / bulk:.2f} x as fast as this peer"
