"""Writes small JAT datasets as their authors did, from plain lists; shares nothing with the importer."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("continuous_observations", "continuous_actions", "rewards", "attention_mask", "loss_weight")

SCHEMA = pa.schema(
    [
        ("continuous_observations", pa.list_(pa.list_(pa.float64()))),
        ("continuous_actions", pa.list_(pa.list_(pa.float64()))),
        ("rewards", pa.list_(pa.float64())),
        ("attention_mask", pa.list_(pa.int8())),
        ("loss_weight", pa.list_(pa.float64())),
    ]
)


@dataclass
class PlayedEpisode:
    """What was seen, done and received: rewards[t] follows actions[t]. Lists of T entries."""

    observations: list[list[float]]
    actions: list[list[float]]
    rewards: list[float]


@dataclass
class JatTask:
    """A written task: `folder` is what `source.path` names; `rows` are the records of the train split."""

    folder: Path
    name: str
    width: int
    episodes: list[PlayedEpisode]
    rows: list[dict[str, list[Any]]]
    rows_of_episode: list[list[int]]
    paths: list[Path] = field(default_factory=list)

    @property
    def task_folder(self) -> Path:
        """The folder with the parquet files."""
        return self.folder / self.name

    def write(self, files: int = 1, row_group_rows: int | None = None, schema: pa.Schema = SCHEMA) -> None:
        """(Re)write the parquet files from `rows`."""
        for path in self.paths:
            path.unlink()
        self.task_folder.mkdir(parents=True, exist_ok=True)
        cuts = [len(self.rows) * i // files for i in range(files + 1)]
        self.paths = [self.task_folder / f"train-{i:05d}-of-{files:05d}.parquet" for i in range(files)]
        for path, start, end in zip(self.paths, cuts, cuts[1:], strict=False):
            write_rows(path, self.rows[start:end], row_group_rows, schema)

    def write_metadata(self, folder: Path | None = None) -> None:
        """Write the three JSON files of REGENT, beside the parquet files unless told otherwise."""
        folder = folder or self.task_folder
        folder.mkdir(parents=True, exist_ok=True)
        owner = {str(row): episode for episode, rows in enumerate(self.rows_of_episode) for row in rows}
        told = {
            "ep_lens.json": {str(i): len(episode.rewards) for i, episode in enumerate(self.episodes)},
            "eps_2_rows_tokenized.json": {str(i): rows for i, rows in enumerate(self.rows_of_episode)},
            "rows_tokenized_2_eps.json": owner,
        }
        for name, value in told.items():
            (folder / name).write_text(json.dumps(value))

    def regent_arrays(self) -> dict[str, np.ndarray]:
        """What REGENT's bins hold of all rows: observations (R, W, D), actions (R, W, A), rewards (R, W), float32.

        Rewards are shifted right by one inside an episode; padding repeats the first step of its row.
        """
        names = COLUMNS[:3]
        return {name: np.array(_float32([row[name] for row in self.rows]), np.float32) for name in names}

    def real_steps(self) -> list[int]:
        """Steps of each row that are not padding."""
        return [sum(row["attention_mask"]) for row in self.rows]


def make_jat(
    folder: Path,
    lengths: Sequence[int],
    name: str = "mujoco-ant",
    width: int = 256,
    observation: int = 3,
    action: int = 2,
    files: int = 1,
    row_group_rows: int | None = None,
    metadata: bool = True,
    seed: int = 0,
) -> JatTask:
    """Episodes of the given lengths with random numbers, written below `folder`, beside a test split to stay away from.

    `metadata=False` leaves REGENT's JSON files out; `row_group_rows` cuts each file into row groups.
    """
    rng = random.Random(seed)
    episodes = [_play(rng, length, observation, action) for length in lengths]
    rows: list[dict[str, list[Any]]] = []
    rows_of_episode: list[list[int]] = []
    for episode in episodes:
        chunks = _tokenise(episode, width)
        rows_of_episode.append(list(range(len(rows), len(rows) + len(chunks))))
        rows.extend(chunks)
    task = JatTask(folder, name, width, episodes, rows, rows_of_episode)
    task.write(files, row_group_rows)
    write_rows(task.task_folder / "test-00000-of-00001.parquet", _tokenise(_play(rng, 7, observation, action), width))
    if metadata:
        task.write_metadata()
    return task


def write_rows(
    path: Path, rows: list[dict[str, list[Any]]], row_group_rows: int | None = None, schema: pa.Schema = SCHEMA
) -> None:
    """One parquet file with these records."""
    table = pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)
    pq.write_table(table, path, row_group_size=row_group_rows)


def _play(rng: random.Random, length: int, observation: int, action: int) -> PlayedEpisode:
    def vector(size: int) -> list[float]:
        return [rng.uniform(-3, 3) for _ in range(size)]

    return PlayedEpisode(
        observations=[vector(observation) for _ in range(length)],
        actions=[vector(action) for _ in range(length)],
        rewards=[rng.uniform(0.1, 5) for _ in range(length)],  # never 0.0: that is how an episode starts
    )


def _tokenise(episode: PlayedEpisode, width: int) -> list[dict[str, list[Any]]]:
    steps = len(episode.rewards)
    columns = {
        "continuous_observations": episode.observations,
        "continuous_actions": episode.actions,
        "rewards": [0.0, *episode.rewards[:-1]],
        "loss_weight": [1.0] * steps,
    }
    rows = []
    for start in range(0, steps, width):
        chunk = {name: values[start : start + width] for name, values in columns.items()}
        real = len(chunk["rewards"])
        padded: dict[str, list[Any]] = {name: values + [values[0]] * (width - real) for name, values in chunk.items()}
        padded["attention_mask"] = [1] * real + [0] * (width - real)
        rows.append(padded)
    return rows


def _float32(value: Any) -> Any:
    """Each number through a C float, by the standard library."""
    return (
        [_float32(entry) for entry in value]
        if isinstance(value, list)
        else struct.unpack("f", struct.pack("f", value))[0]
    )
