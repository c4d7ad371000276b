"""One episode as rows of a LeRobot dataset: whole columns at once, pictures encoded by several threads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, Shaped, UInt8
from PIL import Image

from pipeline.dataset.columns import beside
from pipeline.episode import Episode
from pipeline.formats.lerobot.plan import LeRobotPlan
from pipeline.frames.png import encode_pngs
from pipeline.sources.lerobot import names
from pipeline.sources.lerobot.columns import IMAGE, NOTHING, number_array

BATCH = 64
"""Pictures that a thread takes at once."""

LEVELS = 256


@dataclass(frozen=True)
class EpisodeTables:
    """An episode on its way into the files.

    Attributes:
        rows: T rows, or T+1 with `last_row=row`.
        last: the row of the last observation, where it lies beside; None where there is none.
        levels: of each column of pictures, how many pixels have each of the 256 levels, by channel.
    """

    rows: pa.Table
    last: pa.Table | None
    levels: Mapping[str, Int64[np.ndarray, "c 256"]]


class TableMaker:
    """Makes the tables of one episode after the other."""

    def __init__(self, plan: LeRobotPlan, pool: ThreadPoolExecutor) -> None:
        self._plan, self._pool = plan, pool
        self.schema = _schema_of(plan)
        self.last_schema = pa.schema(
            [self.schema.field(name) for name in ("episode_index", *(c.column for c in plan.beside))]
        )
        self.last_schema = self.last_schema.with_metadata(_hugging_face(plan, self.last_schema.names))
        self._paths = pa.array([], pa.string())

    def tables(self, episode: Episode, number: int, first: int, task: int) -> EpisodeTables:
        """The tables of episode `number`, whose first row is row `first` of the set."""
        arrays = beside(episode, self._plan.rows)
        length, has_last = episode.length, _has_last_row(arrays, episode)
        rows = length + (has_last and self._plan.last_row == names.ROW)
        is_beside = has_last and self._plan.last_row == names.BESIDE
        levels: dict[str, np.ndarray] = {}
        columns, ends = self._flags(episode, rows) | self._base(rows, number, first, task), {}
        for each in self._plan.columns:
            if each.kind == IMAGE:
                files, levels[each.column] = self._encoded(each.pictures(arrays[each.array][:rows]))
                columns[each.column] = self._pictures(files)
                if is_beside:
                    ends[each.column] = self._pictures(encode_pngs(each.pictures(arrays[each.array][-1:])), length)
            elif each.kind != NOTHING:
                columns[each.column] = each.arrow(arrays[each.array][:rows])
                ends[each.column] = each.arrow(arrays[each.array][-1:])
        last = _table(self.last_schema, ends | {"episode_index": pa.array([number], pa.int64())}) if is_beside else None
        return EpisodeTables(_table(self.schema, columns), last, levels)

    def _encoded(self, pictures: UInt8[np.ndarray, "n h w c"]) -> tuple[list[bytes], Int64[np.ndarray, "c 256"]]:
        """The files of pictures, and how many pixels of all of them have each level."""
        batches = [pictures[first : first + BATCH] for first in range(0, len(pictures), BATCH)]
        done = list(self._pool.map(_encoded_batch, batches))
        return [file for files, _ in done for file in files], np.sum([counts for _, counts in done], 0)

    def _pictures(self, files: Sequence[bytes], first: int = 0) -> pa.Array:
        """Files as the column holds them, each with the name that it would have in a folder of its own."""
        if len(self._paths) < first + len(files):
            self._paths = pa.array([f"frame-{row:06d}.png" for row in range(2 * (first + len(files)))])
        return pa.StructArray.from_arrays(
            [pa.array(files, pa.binary()), self._paths.slice(first, len(files))], ["bytes", "path"]
        )

    def _flags(self, episode: Episode, rows: int) -> dict[str, pa.Array]:
        """True on row T-1 alone; `is_last` on row T."""
        at_end = {
            names.TERMINATED: episode.terminated,
            names.TRUNCATED: episode.truncated,
            names.DONE: True,
            names.SUCCESS: episode.success == 1,
            names.IS_LAST: False,
        }
        found = {}
        for name in self._plan.flags:
            values = np.zeros((rows, 1), np.bool_)
            values[episode.length - 1] = at_end[name]
            if name == names.IS_LAST:
                values[episode.length :] = True
            found[name] = number_array(values)
        return found

    def _base(self, rows: int, number: int, first: int, task: int) -> dict[str, pa.Array]:
        frames = np.arange(rows)
        values = {
            "timestamp": frames / self._plan.fps,
            "frame_index": frames,
            "episode_index": np.full(rows, number),
            "index": frames + first,
            "task_index": np.full(rows, task),
        }
        return {name: pa.array(values[name].astype(dtype)) for name, dtype in names.BASE.items()}


def _schema_of(plan: LeRobotPlan) -> pa.Schema:
    """The schema of data/, with what plain `datasets` reads of it."""
    types = {each.column: each.type for each in plan.columns if each.kind != NOTHING}
    types |= dict.fromkeys(plan.flags, pa.bool_()) | {
        n: pa.from_numpy_dtype(np.dtype(d)) for n, d in names.BASE.items()
    }
    return pa.schema(list(types.items()), _hugging_face(plan, list(types)))


def _hugging_face(plan: LeRobotPlan, columns: Sequence[str]) -> dict[str, str]:
    """The metadata by which `datasets` knows pictures and vectors."""
    features: dict[str, object] = {}
    for name in columns:
        feature = plan.features[name]
        if feature["dtype"] == "image":
            features[name] = {"_type": "Image"}
            continue
        value, (width,) = {"dtype": feature["dtype"], "_type": "Value"}, feature["shape"]
        features[name] = value if width == 1 else {"feature": value, "length": width, "_type": "List"}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def _level_counts(pictures: UInt8[np.ndarray, "n h w c"]) -> Int64[np.ndarray, "c 256"]:
    """How many pixels have each level, by channel."""
    rows = np.ascontiguousarray(pictures).reshape(-1, *pictures.shape[2:])
    counts = Image.fromarray(rows if rows.shape[-1] == 3 else rows[..., 0]).histogram()  # ten times as fast as NumPy
    return np.asarray(counts, np.int64).reshape(-1, LEVELS)


def _encoded_batch(pictures: UInt8[np.ndarray, "n h w c"]) -> tuple[list[bytes], Int64[np.ndarray, "c 256"]]:
    return encode_pngs(pictures), _level_counts(pictures)


def _table(schema: pa.Schema, columns: Mapping[str, pa.Array]) -> pa.Table:
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _has_last_row(arrays: Mapping[str, Shaped[np.ndarray, "rows ..."]], episode: Episode) -> bool:
    """Whether something is said after the last action; an observation that is missing is not."""
    return episode.has_final_observation or any(bool(array[-1].any()) for array in arrays.values())
