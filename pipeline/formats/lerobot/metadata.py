"""What stands in meta/ beside the table of episodes, made when all rows are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from jaxtyping import Num

from pipeline.dataset.rewards import return_words
from pipeline.formats.contract import Outgoing
from pipeline.formats.lerobot.files import finished_files, level_counts_of, tasks_so_far
from pipeline.formats.lerobot.plan import LeRobotPlan
from pipeline.formats.lerobot.statistics import number_statistics, picture_statistics
from pipeline.machine.files import write_atomic, write_json
from pipeline.sources.lerobot import names
from pipeline.sources.lerobot.columns import column_numbers
from pipeline.sources.lerobot.ours import OwnTable

ROWS = 2**16
"""Rows of a block that is read back."""

AT_ONCE = 2**26
"""Bytes of all numbers that are read back whole."""

CARD = """# {title}

A [LeRobotDataset](https://github.com/huggingface/lerobot) {version}, exported by repertoire: {episodes} episodes,
{rows} rows, {fps} rows a second.

| environment | dataset | episodes | return |
|---|---|---|---|
{tasks}

Row t is observation t, the action taken there, and what followed (`next.*`). {notes}

```python
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("any/name", root="FOLDER")
dataset[0]["action"]
```

`meta/episodes` has a line an episode: seed, why it ended, success, mission, return, environment. `meta/repertoire.json`
says which column holds which array, and where the episodes came from.
"""

NOTES = {
    names.BESIDE: "The observation after the last action of each episode lies in `final/`, with its `episode_index`.",
    names.ROW: "The last row of an episode, where `is_last` is true, is the observation after the last action: its "
    "action and `next.*` say nothing.",
    names.DROP: "The observation after the last action of each episode was left out.",
}


class RecentNumbers:
    """The numbers of the rows that were just written, so that small sets need not be read back for their statistics."""

    def __init__(self, plan: LeRobotPlan) -> None:
        self._names = [name for name, each in plan.features.items() if each["dtype"] != "image"]
        self._row_bytes = _number_bytes(plan)
        self._tables: list[pa.Table] = []
        self._rows = 0

    def append(self, rows: pa.Table) -> None:
        """The rows of the next episode."""
        self._rows += len(rows)
        if self._rows * self._row_bytes > AT_ONCE:
            self._tables.clear()
        else:
            self._tables.append(rows.select(self._names))

    def whole(self, rows: int) -> pa.Table | None:
        """All `rows` of the set, where they are here."""
        is_here = self._tables and self._rows == rows
        return pa.concat_tables(self._tables).replace_schema_metadata(None) if is_here else None


def _number_bytes(plan: LeRobotPlan) -> int:
    """Bytes of the numbers of a row."""
    numbers = [each for each in plan.features.values() if each["dtype"] != "image"]
    return sum(np.dtype(each["dtype"]).itemsize * int(each["shape"][0]) for each in numbers)


def write_metadata(
    folder: Path, data: Sequence[Outgoing], plan: LeRobotPlan, content: str, file_mb: float, recent: RecentNumbers
) -> None:
    """Everything but the rows and the table of episodes."""
    files = finished_files(folder)
    episodes, rows = sum(each.episodes for each in files), sum(each.rows for each in files)
    tasks = tasks_so_far(folder, len(files))
    _write_tasks(folder / names.TASKS, list(tasks))
    write_json(folder / names.STATISTICS, _statistics([each.path for each in files], plan, rows, recent))
    table = OwnTable(plan.columns, plan.resets, plan.last_row, episodes, content)
    write_json(folder / names.REPERTOIRE, table.as_json() | {"provenance": [each.origin() for each in data]})
    info = {
        "codebase_version": names.VERSION,
        "robot_type": None,
        "total_episodes": episodes,
        "total_frames": rows,
        "total_tasks": len(tasks),
        "chunks_size": names.CHUNK,
        "data_files_size_in_mb": max(1, round(file_mb)),
        "video_files_size_in_mb": 200,
        "fps": plan.fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": names.DATA_PATH,
        "video_path": names.VIDEO_PATH,
        "features": plan.features,
    }
    write_json(folder / names.INFO, info)
    card = _card(folder, data, plan, (episodes, rows))
    write_atomic(folder / "README.md", lambda file: file.write(card.encode()))


def _write_tasks(path: Path, texts: Sequence[str]) -> None:
    """meta/tasks.parquet: pandas makes the texts the index, for its metadata says so."""
    index = {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    column = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column | {"metadata": None}, index],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array(range(len(texts)), pa.int64()), "task": pa.array(texts, pa.string())})
    table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
    write_atomic(path, lambda file: pq.write_table(table, file))


def _statistics(paths: Sequence[Path], plan: LeRobotPlan, rows: int, recent: RecentNumbers) -> dict[str, Any]:
    """Of each column, over all rows. The same bytes, whether they are in memory or read back."""
    counts = level_counts_of(list(paths))
    found: dict[str, Any] = {name: picture_statistics(each, rows) for name, each in counts.items()}
    numbers = {name: each for name, each in plan.features.items() if name not in counts}
    at_once = _columns(paths, numbers, recent.whole(rows)) if rows * _number_bytes(plan) <= AT_ONCE else None
    for name, each in numbers.items():
        blocks = partial(_blocks, paths, name, each) if at_once is None else partial(_one, at_once[name])
        found[name] = number_statistics(blocks, rows)
    return {name: found[name] for name in plan.features if found[name] is not None}


def _columns(
    paths: Sequence[Path], features: Mapping[str, Mapping[str, Any]], table: pa.Table | None
) -> dict[str, Num[np.ndarray, "n d"]]:
    """Columns of all files, whole; read where they are not in `table`."""
    if table is None:
        table = pa.concat_tables([pq.read_table(path, columns=list(features), partitioning=None) for path in paths])
    return {name: _numbers(table[name].combine_chunks(), name, feature) for name, feature in features.items()}


def _one(array: Num[np.ndarray, "n d"]) -> list[Num[np.ndarray, "n d"]]:
    return [array]


def _blocks(paths: Sequence[Path], name: str, feature: Mapping[str, Any]) -> Iterator[Num[np.ndarray, "n d"]]:
    """A column of all files, a block of rows at a time."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS, columns=[name]):
                yield _numbers(batch.column(name), name, feature)


def _numbers(column: pa.Array, name: str, feature: Mapping[str, Any]) -> Num[np.ndarray, "n d"]:
    """Truth values as 0 and 1."""
    numbers = column_numbers(column, name, np.dtype(feature["dtype"]), feature["shape"][0])
    return numbers.view(np.uint8) if numbers.dtype == np.bool_ else numbers


def _card(folder: Path, data: Sequence[Outgoing], plan: LeRobotPlan, amounts: tuple[int, int]) -> str:
    configs = [{"config_name": "default", "data_files": f"{names.DATA}/*/*.parquet"}]
    if (folder / names.FINAL).is_dir():
        configs.append({"config_name": "final", "data_files": f"{names.FINAL}/*/*.parquet"})
    head = {
        "license": "unknown",
        "task_categories": ["robotics", "reinforcement-learning"],
        "tags": ["LeRobot", "offline-rl", *sorted({each.domain for each in data})],
        "configs": configs,
    }
    notes = [NOTES[plan.last_row]]
    if plan.features.get("action", {}).get("shape") == [1]:
        notes.append("An action is one number: LeRobot gives it without an axis, and its own policies do not take it.")
    text = CARD.format(
        title=f"{data[0].domain}/{data[0].task}" if len(data) == 1 else f"{data[0].domain}, {len(data)} tasks",
        version=names.VERSION,
        episodes=f"{amounts[0]:,}",
        rows=f"{amounts[1]:,}",
        fps=plan.fps,
        tasks="\n".join(map(_task_line, data)),
        notes="\n\n".join(notes),
    )
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n{text}"


def _task_line(data: Outgoing) -> str:
    clipping = data.provenance.get("reward_clipping")
    returns = return_words((float(clipping[0]), float(clipping[1])) if clipping else None)
    return f"| `{data.domain}/{data.task}` | {data.name} | {len(data)} | {returns} |"
