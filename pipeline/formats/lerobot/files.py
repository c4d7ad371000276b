"""The files of rows of an export, a row group an episode: each appears whole, and a finished one is not made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.formats.hidden_parquet import HiddenParquet
from pipeline.formats.lerobot.plan import FACT_TYPES, LeRobotPlan
from pipeline.formats.lerobot.tables import EpisodeTables, TableMaker
from pipeline.sources.lerobot import names
from pipeline.sources.lerobot.columns import IMAGE

MOST_EPISODES = 10_000
"""Of one file: each is a row group, and takes its place in the footer."""

LAST_ROWS_BYTES = 2**23
"""So much of last rows is one row group."""

LEVELS_KEY = b"repertoire.levels"
"""In the footer of a file: how many pixels have each level, for the statistics at the end."""


@dataclass(frozen=True)
class FinishedFile:
    """A file of rows that stands under its final name."""

    path: Path
    episodes: int
    rows: int


def finished_files(folder: Path) -> list[FinishedFile]:
    """The files that are finished, in order; what is unfinished is removed."""
    for path in folder.rglob(".*"):
        path.unlink(missing_ok=True)
    found: list[FinishedFile] = []
    while (path := folder / names.file_name(names.DATA, len(found))).is_file():
        metadata = pq.read_metadata(path)
        found.append(FinishedFile(path, metadata.num_row_groups, metadata.num_rows))
    return found


def tasks_so_far(folder: Path, files: int) -> dict[str, int]:
    """The texts of the tasks of finished files, numbered as they first come."""
    numbers: dict[str, int] = {}
    for number in range(files):
        table = pq.read_table(folder / names.file_name(names.EPISODES, number), columns=["tasks"])
        for texts in table["tasks"].to_pylist():
            for text in texts:
                numbers.setdefault(text, len(numbers))
    return numbers


class DataFiles:
    """Files of about `limit` bytes, of which one is open at a time. A context manager: an error leaves hidden files."""

    def __init__(self, folder: Path, plan: LeRobotPlan, maker: TableMaker, limit: int) -> None:
        self._folder, self._plan, self._maker, self._limit = folder, plan, maker, limit
        self._facts_schema = pa.schema(
            [
                *FACT_TYPES.items(),
                *((f"reset_info/{e.array}", pa.list_(pa.from_numpy_dtype(e.dtype))) for e in plan.resets),
            ]
        )
        done = finished_files(folder)
        self.episodes, self.rows = sum(each.episodes for each in done), sum(each.rows for each in done)
        self._number = self.count = len(done)
        self._open: _OpenFile | None = None

    def append(self, tables: EpisodeTables, facts: Mapping[str, Any]) -> None:
        """Write an episode; `facts` are its line in meta/episodes, without where it lies."""
        if self._open is not None and self._open.is_full(len(tables.rows), self._limit):
            self._finish()
        if self._open is None:
            self._open = _OpenFile(self._folder, self._number, self._maker, self._plan)
        place = {"chunk_index": self._number // names.CHUNK, "file_index": self._number % names.CHUNK}
        where = {f"{folder}/{key}": value for folder in (names.DATA, names.EPISODES) for key, value in place.items()}
        where |= {"episode_index": self.episodes, "length": len(tables.rows)}
        where |= {"dataset_from_index": self.rows, "dataset_to_index": self.rows + len(tables.rows)}
        self._open.append(tables, {**facts, **where})
        self.episodes, self.rows = self.episodes + 1, self.rows + len(tables.rows)

    def close(self) -> None:
        """Finish the file that is open."""
        if self._open is not None:
            self._finish()

    def _finish(self) -> None:
        assert self._open is not None
        self._open.finish(self._facts_schema)
        self._open, self._number = None, self._number + 1

    def __enter__(self) -> DataFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._open is not None:
            self._open.abandon()


class _OpenFile:
    """One file of rows, with its last rows beside and its lines of meta/episodes."""

    def __init__(self, folder: Path, number: int, maker: TableMaker, plan: LeRobotPlan) -> None:
        self._folder, self._number, self._maker, self._plan = folder, number, maker, plan
        self._data = _hidden(folder / names.file_name(names.DATA, number), maker.schema, plan)
        self._last: HiddenParquet | None = None
        self._waiting: list[pa.Table] = []
        self._facts: list[Mapping[str, Any]] = []
        self._rows = 0
        self._levels: dict[str, np.ndarray] = {}

    def is_full(self, rows: int, limit: int) -> bool:
        """Whether an episode of so many rows would make the file too large."""
        size = self._data.size
        return len(self._facts) >= MOST_EPISODES or size + size / self._rows * rows > limit

    def append(self, tables: EpisodeTables, facts: Mapping[str, Any]) -> None:
        self._data.append(tables.rows)
        self._facts.append(facts)
        self._rows += len(tables.rows)
        for name, counts in tables.levels.items():
            self._levels[name] = self._levels.get(name, 0) + counts
        if tables.last is not None:
            self._waiting.append(tables.last)
            if tables.last.nbytes * len(self._waiting) > LAST_ROWS_BYTES:
                self._write_last()

    def _write_last(self) -> None:
        if self._waiting:
            if self._last is None:
                path = self._folder / names.file_name(names.FINAL, self._number)
                self._last = _hidden(path, self._maker.last_schema, self._plan)
            self._last.append(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting = []

    def finish(self, schema: pa.Schema) -> None:
        """The file of rows gets its name last: what stands beside it is then there."""
        self._write_last()
        if self._last is not None:
            self._last.finish({})
        facts = _hidden(self._folder / names.file_name(names.EPISODES, self._number), schema)
        facts.append(pa.Table.from_pylist(list(self._facts), schema))
        facts.finish({})
        self._data.finish({LEVELS_KEY: json.dumps({name: counts.tolist() for name, counts in self._levels.items()})})

    def abandon(self) -> None:
        """Close what is open, under its hidden name."""
        self._data.close()
        if self._last is not None:
            self._last.close()


def _hidden(path: Path, schema: pa.Schema, plan: LeRobotPlan | None = None) -> HiddenParquet:
    pictures = [f"{each.column}.bytes" for each in (plan.columns if plan else ()) if each.kind == IMAGE]
    return HiddenParquet(path, schema, **_settings(schema, pictures))


def _settings(schema: pa.Schema, pictures: list[str]) -> dict[str, Any]:
    """As LeRobot writes, but without what is slow and makes no file smaller: dictionaries of real numbers and of
    counters, snappy over PNG.
    """
    leaves = {leaf: field.type for field in schema for leaf in _leaves(field)}
    counters = ("timestamp", "frame_index", "index", "dataset_from_index", "dataset_to_index")
    real = [leaf for leaf, kind in leaves.items() if pa.types.is_floating(getattr(kind, "value_type", kind))]
    return {
        "compression": {leaf: "NONE" if leaf in pictures else "snappy" for leaf in leaves},
        "use_dictionary": [leaf for leaf in leaves if leaf not in (*pictures, *real, *counters)] or False,
        "write_statistics": [leaf for leaf in leaves if leaf in (*names.BASE, "length")],
    }


def _leaves(field: pa.Field) -> Iterator[str]:
    """The names by which parquet knows the columns of a field."""
    if pa.types.is_struct(field.type):
        yield from (f"{field.name}.{inner.name}" for inner in field.type)
    elif pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
        yield f"{field.name}.list.element"
    else:
        yield field.name


def level_counts_of(paths: list[Path]) -> dict[str, Int64[np.ndarray, "c 256"]]:
    """How many pixels of all files have each level, by column and channel."""
    total: dict[str, np.ndarray] = {}
    for path in paths:
        for name, counts in json.loads(pq.read_metadata(path).metadata[LEVELS_KEY]).items():
            total[name] = total.get(name, 0) + np.asarray(counts, np.int64)
    return total
