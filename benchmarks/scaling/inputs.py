"""Data of the real shape, made here: checkpoints of the DQN Replay Dataset, tables of JAT, datasets of vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import sliding_window_view
from zlib_ng import gzip_ng

from benchmarks.dqn_replay import Log, log_of, tiled, write_checkpoint
from benchmarks.retrieval import observations
from pipeline.artifacts.artifact import EPISODES, Spec
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import EPISODES_FORMAT, Noticed, grow
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode, with_last_row
from tests.jat_files import SCHEMA, SCREEN_SCHEMA

GAMES = {"busy": {"enduro": 0.9, "yars_revenge": 0.1}, "still": {"breakout": 1.0}}
"""Games whose frames compress badly and well; both as in benchmarks/dqn_replay.py."""
TASK = "enduro"
PLAYED = 1500
"""Decisions of each of eight players; a checkpoint repeats what they saw."""

EPISODE = 100
WIDTH = 39


def played(game: str) -> Log:
    """What the players of one entry of GAMES saw."""
    return log_of(GAMES[game], PLAYED)


def checkpoints(root: Path, log: Log, frames: int, count: int) -> int:
    """Successive checkpoints of so many frames each, the same ones by hard links; return the bytes of one."""
    files = write_checkpoint(root, tiled(log, frames), lambda path: gzip_ng.GzipNGFile(path, "wb", 6))
    for number in range(1, count):
        for name, path in files.items():
            other = path.with_name(path.name.replace("ckpt.0", f"ckpt.{number}"))
            if name != "add_count":
                other.hardlink_to(path)
                continue
            with gzip_ng.open(other, "wb") as file:
                np.save(file, np.asarray(frames * (number + 1) - 1))
    return sum(path.stat().st_size for path in files.values())


def jat_vectors(folder: Path, rows: int) -> int:
    """`metaworld-assembly` as JAT tokenises it: rows of 256 steps, 100 of them real; return the bytes."""
    states = observations()[: rows * EPISODE].reshape(rows, EPISODE, WIDTH).astype(np.float64)
    rng = np.random.default_rng(0)
    padded = _padded(
        {"o": states, "a": rng.uniform(-1, 1, (rows, EPISODE, 4)), "r": rng.uniform(0, 9, (rows, EPISODE))}
    )
    padded["r"][:, 0] = 0
    mask = np.broadcast_to(np.arange(256) < EPISODE, (rows, 256))
    columns = [padded["o"], padded["a"], padded["r"], mask.astype(np.int8), np.ones((rows, 256))]
    return _written(folder / "metaworld-assembly", columns, SCHEMA)


def jat_screens(folder: Path, rows: int, log: Log) -> int:
    """`atari-enduro` as JAT tokenises it: rows of 32 stacks of four frames, one episode; return the bytes."""
    frames = log["observation"][: rows * 32]
    stacks = np.stack(sliding_window_view(np.concatenate([frames[:1].repeat(3, 0), frames]), 4, axis=0))
    pictures = ((np.moveaxis(stacks, -1, 1) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)).astype(np.float32)
    shape = (rows, 32)
    rewards = np.random.default_rng(0).uniform(0.1, 1, shape)
    rewards[0, 0] = 0
    columns = [pictures.reshape(*shape, 4, 84, 84), log["action"][: rows * 32].reshape(shape).astype(np.int64), rewards]
    return _written(folder / f"atari-{TASK}", [*columns, np.ones(shape, np.int8), np.ones(shape)], SCREEN_SCHEMA)


def vector_dataset(root: Path, vectors: np.ndarray, name: str) -> None:
    """A dataset of Meta-World's kind, in episodes of 100 states, of vectors of any length."""
    rng = np.random.default_rng(0)

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        for episode in vectors.reshape(-1, EPISODE, vectors.shape[1]).astype(np.float64):
            steps = {
                "observation": np.concatenate([episode, episode[-1:]]),
                "action": with_last_row("action", rng.uniform(-1, 1, (EPISODE, 4)).astype(np.float32)),
                "reward": with_last_row("reward", rng.uniform(0, 10, EPISODE)),
                "discount": with_last_row("discount", np.ones(EPISODE)),
            }
            writer.append(Episode(steps, truncated=True, end_reason="time_limit"))
        return Noticed()

    spec = Spec("metaworld", "assembly", EPISODES, EPISODES_FORMAT, {"made": "benchmark"}, name=name)
    grow(Workspace(str(root)), spec, Amount(episodes=len(vectors) // EPISODE), fill)


def _padded(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of 256 steps, of which those behind the episode repeat its first."""
    missing = 256 - EPISODE
    return {name: np.concatenate([each, each[:, :1].repeat(missing, 1)], 1) for name, each in arrays.items()}


def _written(folder: Path, columns: list[np.ndarray], schema: pa.Schema) -> int:
    folder.mkdir(parents=True)
    path = folder / "train-00000-of-00001.parquet"
    arrays = [_nested(column, field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, row_group_size=100)
    return path.stat().st_size


def _nested(array: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Lists of lists of the array's numbers, without a Python object for each."""
    values: pa.Array = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in reversed(array.shape[1:]):
        values = pa.ListArray.from_arrays(np.arange(0, len(values) + 1, size, dtype=np.int32), values)
    return values.cast(kind)
