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
from numpy.lib.stride_tricks import sliding_window_view

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

GRID_SCHEMA = pa.schema(
    [
        ("discrete_observations", pa.list_(pa.list_(pa.int64()))),
        ("discrete_actions", pa.list_(pa.int64())),
        *[SCHEMA.field(name) for name in COLUMNS[2:]],
    ]
)

SCREEN_SCHEMA = pa.schema(
    [
        ("image_observations", pa.list_(pa.list_(pa.list_(pa.list_(pa.float32()))))),
        ("discrete_actions", pa.list_(pa.int64())),
        *[SCHEMA.field(name) for name in COLUMNS[2:]],
    ]
)

RAW_SCHEMA = pa.schema(
    [
        ("discrete_observations", pa.list_(pa.list_(pa.int64()))),
        ("text_observations", pa.list_(pa.string())),
        ("rewards", pa.list_(pa.float32())),
    ]
)


@dataclass
class PlayedEpisode:
    """What was seen, done and received: rewards[t] follows actions[t]. Lists of T entries."""

    observations: list[Any]
    actions: list[Any]
    rewards: list[float]
    mission: str = ""


@dataclass
class JatTask:
    """A written task: `folder` is what `source.path` names; `rows` are the records of the train split."""

    folder: Path
    name: str
    width: int
    episodes: list[PlayedEpisode]
    rows: list[dict[str, list[Any]]]
    rows_of_episode: list[list[int]]
    schema: pa.Schema = SCHEMA
    paths: list[Path] = field(default_factory=list)

    @property
    def task_folder(self) -> Path:
        """The folder with the parquet files."""
        return self.folder / self.name

    def write(self, files: int = 1, row_group_rows: int | None = None, schema: pa.Schema | None = None) -> None:
        """(Re)write the parquet files from `rows`."""
        schema = schema or self.schema
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

    def write_texts(self, folder: Path | None = None) -> None:
        """Write REGENT's `eps_2_text.json`, grouped by mission as upstream's."""
        folder = folder or self.task_folder
        folder.mkdir(parents=True, exist_ok=True)
        grouped: dict[str, list[int]] = {}
        for number, episode in enumerate(self.episodes):
            grouped.setdefault(episode.mission, []).append(number)
        told = {str(number): mission for mission, numbers in grouped.items() for number in numbers}
        (folder / "eps_2_text.json").write_text(json.dumps(told))

    def write_raw(self, folder: Path, empty_at: Sequence[int] = (), files: int = 1) -> list[Path]:
        """Write the raw dataset of these episodes, with episodes without a step before the named ones."""
        rows: list[dict[str, list[Any]]] = []
        for number, episode in enumerate(self.episodes):
            if number in empty_at:
                rows.append({name: [] for name in RAW_SCHEMA.names})
            raw = [observation[:148] for observation in episode.observations]
            texts = [episode.mission] * len(raw)
            rows.append({"discrete_observations": raw, "text_observations": texts, "rewards": episode.rewards})
        (folder / self.name).mkdir(parents=True, exist_ok=True)
        cuts = [len(rows) * i // files for i in range(files + 1)]
        paths = [folder / self.name / f"train-{i:05d}-of-{files:05d}-0af{i}.parquet" for i in range(files)]
        for path, start, end in zip(paths, cuts, cuts[1:], strict=False):
            write_rows(path, rows[start:end], schema=RAW_SCHEMA)
        return paths

    def regent_arrays(self) -> dict[str, np.ndarray]:
        """What REGENT's bins hold of all rows: observations (R, W, ...), actions (R, W, ...), rewards (R, W).

        float32, and int32 where rows hold integers. Rewards are shifted right by one inside an episode; padding
        repeats the first step of its row.
        """
        arrays = {}
        for name in self.schema.names[:3]:
            values = [row[name] for row in self.rows]
            whole = name.startswith("discrete")
            arrays[name] = np.array(values, np.int32) if whole else np.array(_float32(values), np.float32)
        return arrays

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
    task = _task(folder, name, width, [_play(rng, length, observation, action) for length in lengths], SCHEMA)
    task.write(files, row_group_rows)
    write_rows(
        task.task_folder / "test-00000-of-00001.parquet", _tokenise(_play(rng, 7, observation, action), width, SCHEMA)
    )
    if metadata:
        task.write_metadata()
    return task


def make_screens(
    folder: Path,
    lengths: Sequence[int],
    name: str = "atari-pong",
    width: int = 32,
    size: tuple[int, int] = (3, 2),
    padding: str = "repeat",
    files: int = 1,
    row_group_rows: int | None = None,
    metadata: bool = True,
    seed: int = 0,
) -> JatTask:
    """Episodes of stacks of four grey frames; before the first frame stand copies of it, or `zeros`, or `other` frames.

    Most rewards are 0.0, as in Atari.
    """
    rng = random.Random(seed)
    episodes = []
    for length in lengths:
        frames = [_frame(rng, size) for _ in range(length)]
        before = {"repeat": frames[0], "zeros": [[0] * size[1]] * size[0], "other": _frame(rng, size)}[padding]
        shown = [before] * 3 + frames
        stacks = [[_floats(frame) for frame in shown[at : at + 4]] for at in range(length)]
        actions = [rng.randrange(6) for _ in range(length)]
        episodes.append(PlayedEpisode(stacks, actions, [rng.choice([0.0, 0.0, 0.0, 1.0]) for _ in range(length)]))
    task = _task(folder, name, width, episodes, SCREEN_SCHEMA)
    task.write(files, row_group_rows)
    if metadata:
        task.write_metadata()
    return task


def make_missions(
    folder: Path,
    lengths: Sequence[int],
    missions: Sequence[str] = ("go to the red ball", "pick up a key", "go to a box"),
    name: str = "babyai-go-to",
    width: int = 256,
    files: int = 1,
    row_group_rows: int | None = None,
    metadata: bool = True,
    texts: bool = True,
    seed: int = 0,
) -> JatTask:
    """Episodes of directions, grids and tokens; a mission is drawn for each, and only its last step has a reward."""
    rng = random.Random(seed)
    words: dict[str, int] = {}
    episodes = []
    for length in lengths:
        mission = rng.choice(missions)
        ids = [1000 + words.setdefault(word, len(words)) for word in mission.split()]
        tokens = ids + [50256] * (64 - len(ids))
        steps = [[rng.randrange(4), *[rng.randrange(256) for _ in range(147)], *tokens] for _ in range(length)]
        actions = [rng.randrange(7) for _ in range(length)]
        episodes.append(PlayedEpisode(steps, actions, [0.0] * (length - 1) + [0.9], mission))
    task = _task(folder, name, width, episodes, GRID_SCHEMA)
    task.write(files, row_group_rows)
    if metadata:
        task.write_metadata()
    if texts:
        task.write_texts()
    return task


def write_rows(
    path: Path, rows: list[dict[str, list[Any]]], row_group_rows: int | None = None, schema: pa.Schema = SCHEMA
) -> None:
    """One parquet file with these records."""
    table = pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)
    pq.write_table(table, path, row_group_size=row_group_rows)


def _play(rng: random.Random, length: int, observation: int, action: int) -> PlayedEpisode:
    def vector(size: int, most: float = 3) -> list[float]:
        return [rng.uniform(-most, most) for _ in range(size)]

    return PlayedEpisode(
        observations=[vector(observation) for _ in range(length)],
        actions=[vector(action, 1) for _ in range(length)],
        rewards=[rng.uniform(0.1, 5) for _ in range(length)],  # never 0.0: that is how an episode starts
    )


def _frame(rng: random.Random, size: tuple[int, int]) -> list[list[int]]:
    return [[rng.randrange(256) for _ in range(size[1])] for _ in range(size[0])]


def _floats(frame: list[list[int]]) -> list[list[float]]:
    """Grey bytes as JAT's processor turns them into floats, each operation rounded to a C float."""
    return [[_float32(_float32(_float32(grey / 255) - 0.5) / 0.5) for grey in line] for line in frame]


def _task(folder: Path, name: str, width: int, episodes: list[PlayedEpisode], schema: pa.Schema) -> JatTask:
    rows: list[dict[str, list[Any]]] = []
    rows_of_episode: list[list[int]] = []
    for episode in episodes:
        chunks = _tokenise(episode, width, schema)
        rows_of_episode.append(list(range(len(rows), len(rows) + len(chunks))))
        rows.extend(chunks)
    return JatTask(folder, name, width, episodes, rows, rows_of_episode, schema)


def _tokenise(episode: PlayedEpisode, width: int, schema: pa.Schema) -> list[dict[str, list[Any]]]:
    steps = len(episode.rewards)
    columns = {
        schema.names[0]: episode.observations,
        schema.names[1]: episode.actions,
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


def restack(frames: np.ndarray, count: int, padding: str) -> np.ndarray:
    """(T, h, w) frames of one episode -> (T, count, h, w), the stacks that JAT had of them, oldest frame first."""
    before = np.repeat(frames[:1], count - 1, axis=0)
    padded = np.concatenate([before if padding == "repeat" else np.zeros_like(before), frames])
    return np.moveaxis(sliding_window_view(padded, count, axis=0), -1, 1)
