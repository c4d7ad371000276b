"""Small LeRobotDataset v3.0 sets, written by code that shares nothing with ours: pyarrow, json and Pillow alone."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FPS = 10


def png(picture: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": "frame.png"}


class LeRobotFiles:
    """A set of `lengths` episodes in one file of rows; change `columns` and `features` before `write`.

    Attributes:
        columns: name -> a list of values, one a row.
        features: of info.json.
        facts: columns of meta/episodes.
        tasks: texts.
    """

    def __init__(self, lengths: Sequence[int], picture: tuple[int, ...] | None = (16, 20, 3)) -> None:
        rng = np.random.default_rng(4)
        self.lengths, rows = list(lengths), sum(lengths)
        frames = np.concatenate([np.arange(length) for length in lengths])
        ends = np.cumsum(lengths)
        number = np.repeat(np.arange(len(lengths)), lengths)
        self.columns: dict[str, Any] = {
            "observation.state": list(rng.normal(size=(rows, 3)).astype(np.float32)),
            "action": list(rng.normal(size=(rows, 2)).astype(np.float32)),
            "next.reward": rng.normal(size=rows).astype(np.float32),
            "next.done": np.isin(np.arange(rows), ends - 1),
            "next.success": np.isin(np.arange(rows), ends[:1] - 1),
            "timestamp": (frames / FPS).astype(np.float32),
            "frame_index": frames,
            "episode_index": number,
            "index": np.arange(rows),
            "task_index": number % 2,
        }
        self.features: dict[str, Any] = {
            "observation.state": {"dtype": "float32", "shape": [3], "names": ["x", "y", "z"]},
            "action": {"dtype": "float32", "shape": [2], "names": None},
            "next.reward": {"dtype": "float32", "shape": [1], "names": None},
            "next.done": {"dtype": "bool", "shape": [1], "names": None},
            "next.success": {"dtype": "bool", "shape": [1], "names": None},
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        }
        for name in ("frame_index", "episode_index", "index", "task_index"):
            self.features[name] = {"dtype": "int64", "shape": [1], "names": None}
        if picture:
            self.pictures = rng.integers(0, 256, (rows, *picture), np.uint8)
            self.columns["observation.images.top"] = [png(each) for each in self.pictures]
            shape = list(picture) if len(picture) == 3 else [*picture, 1]
            names = ["height", "width", "channels"]
            self.features["observation.images.top"] = {"dtype": "image", "shape": shape, "names": names}
        self.facts: dict[str, Any] = {
            "episode_index": np.arange(len(lengths)),
            "tasks": [[f"task {each % 2}"] for each in range(len(lengths))],
            "length": self.lengths,
            "data/chunk_index": [0] * len(lengths),
            "data/file_index": [0] * len(lengths),
            "dataset_from_index": ends - self.lengths,
            "dataset_to_index": ends,
            "meta/episodes/chunk_index": [0] * len(lengths),
            "meta/episodes/file_index": [0] * len(lengths),
            "stats/action/min": [[0.0, 0.0]] * len(lengths),
        }
        self.tasks = ["task 0", "task 1"]
        self.info: dict[str, Any] = {"codebase_version": "v3.0"}

    def number(self, name: str, values: Any, dtype: str, shape: Sequence[int] = (1,)) -> None:
        """Add a column of numbers or texts."""
        self.columns[name] = list(values)
        self.features[name] = {"dtype": dtype, "shape": list(shape), "names": None}

    def write(self, folder: Path) -> Path:
        for name in ("data", "meta/episodes"):
            (folder / name / "chunk-000").mkdir(parents=True)
        pq.write_table(pa.table(self.columns), folder / "data/chunk-000/file-000.parquet")
        pq.write_table(pa.table(self.facts), folder / "meta/episodes/chunk-000/file-000.parquet")
        tasks = {"task_index": list(range(len(self.tasks))), "task": self.tasks}
        large = pa.schema([("task_index", pa.int64()), ("task", pa.large_string())])  # as pandas 3 writes
        pq.write_table(pa.table(tasks, large), folder / "meta/tasks.parquet")
        info = {
            "fps": FPS,
            "total_episodes": len(self.lengths),
            "total_frames": sum(self.lengths),
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "features": self.features,
        }
        (folder / "meta/info.json").write_text(json.dumps(info | self.info))
        return folder
