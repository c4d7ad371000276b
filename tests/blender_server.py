"""What RLHF-Blender's server and interface do with the files of an episode, from their description alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np


def episode_list(renders: Path) -> list[int]:
    """The episodes that are offered: each video whose name is a number."""
    return sorted(int(path.stem) for path in renders.glob("*.mp4") if path.stem.isdigit())


def series(path: Path) -> list[float]:
    """Rewards or uncertainties, as the charts get them."""
    return answered(np.load(path).tolist())


def step_details(npz: Path, step: int) -> dict[str, Any]:
    """What is shown of one step."""
    with np.load(npz, allow_pickle=True) as file:
        try:
            chances = jsonable(file["probs"][step])
        except IndexError:
            chances = [0.0]
        shown = {name: jsonable(file[f"{name}s"][step]) for name in ("action", "reward", "info")}
        return answered({"action_distribution": chances, **shown})


def action_list(npz: Path) -> list[Any]:
    """The actions of an episode: whole numbers, real ones, or lists of real ones."""
    with np.load(npz, allow_pickle=True) as file:
        return answered(file["actions"].tolist())


def cluster_frames(video: Path, steps: Iterable[int]) -> list[np.ndarray]:
    """The frames of some rows, each found by its time: (h, w, 3) uint8."""
    found = []
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        for step in steps:
            wanted = int(step / stream.average_rate / stream.time_base)
            container.seek(wanted, stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.pts >= wanted)
            found.append(frame.to_ndarray(format="rgb24"))
    return found


def jsonable(value: Any) -> Any:
    """Numbers of NumPy as those of Python; an array of one value is that value."""
    if isinstance(value, np.ndarray):
        return jsonable(value.item()) if value.size == 1 else value.tolist()
    if isinstance(value, dict):
        return {key: jsonable(each) for key, each in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def answered(value: Any) -> Any:
    """A value as it arrives: its server answers with an error where a number is none of JSON's."""
    return json.loads(json.dumps(value, allow_nan=False))
