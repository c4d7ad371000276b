"""`format=simple`: one parquet file, a row for each decision: the screen and the action that was taken at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.image_text.labels import Labels
from pipeline.formats.image_text.names import environment_name
from pipeline.formats.image_text.rows import picture_array, row_groups, write_rows, wrong_rows
from pipeline.formats.image_text.words import BECOMES
from pipeline.frames.store import PictureBlock

FORMAT = 1

GROUP_ROWS = 1024

SCHEMA = pa.schema(
    [
        ("environment", pa.string()),
        ("episode", pa.string()),
        ("frame_number", pa.int64()),
        ("action", pa.string()),
        ("action_raw", pa.string()),
        ("image", pa.binary()),
    ]
)


class SimpleFormat(Format):
    """Rows of a screen and its action, in the order of tasks, episodes and decisions.

    Args:
        per_task: each task becomes a file of its own.
    """

    name = "simple"
    holds = frozenset({Aspect.ACTIONS})
    shows_frames = True
    suffixes = (".parquet",)

    def __init__(self, per_task: bool = False) -> None:
        self.joins = not per_task

    def identity(self) -> Mapping[str, Any]:
        return {"version": FORMAT, "per_task": not self.joins}

    def lost(self, data: Outgoing) -> Iterable[Aspect]:
        return [*super().lost(data), *([] if data.rows["action"].dtype.kind in "iub" else [Aspect.ACTIONS])]

    def becomes(self) -> Mapping[Aspect, str]:
        return BECOMES

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(f"{data[0].domain if self.joins else environment_name(data[0])}-simple.parquet")

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        write_rows(folder / self.place(data), _groups(data), SCHEMA, ["image"], data)

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        return wrong_rows(path, _groups(data), SCHEMA, _label)


def _groups(data: Sequence[Outgoing]) -> Iterator[pa.Table]:
    return row_groups((table for each in data for table in _tables(each)), GROUP_ROWS)


def _tables(data: Outgoing) -> Iterator[tuple[pa.Table, np.ndarray]]:
    labels = Labels(data)
    environment = pa.scalar(labels.environment, pa.string())
    for actions, block in data.drawn_blocks():
        rows, called = _decisions(block), labels.block(actions, block)
        columns = [
            pa.repeat(environment, len(rows)),
            called.names.take(pa.array(np.repeat(np.arange(len(block.numbers)), block.rows - 1))),
            pa.array(called.numbers),
            called.clean,
            called.raw,
            picture_array(block).take(pa.array(rows)),
        ]
        yield pa.Table.from_arrays(columns, SCHEMA.names), np.diff(block.bounds())[rows]


def _decisions(block: PictureBlock) -> Int64[np.ndarray, "decisions"]:
    """Which picture of the block shows each decision."""
    lengths = block.rows - 1
    return np.arange(lengths.sum()) + np.repeat(np.arange(len(lengths)), lengths)


def _label(table: pa.Table, row: int) -> str:
    environment, episode, frame = (table[name][row].as_py() for name in SCHEMA.names[:3])
    return f"frame {frame} of {episode} of {environment}"
