"""`format=simple`: one parquet file, a row for each decision: the screen and the action that was taken at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.image_text.names import environment_name, episode_name, randomness
from pipeline.formats.image_text.rows import picture_array, row_groups, write_rows, wrong_rows
from pipeline.formats.image_text.words import BECOMES, ActionTexts
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
    parameters = data.provenance["parameters"]
    texts, chance = ActionTexts(parameters), randomness(parameters)
    environment = pa.scalar(environment_name(data), pa.string())
    for actions, block in data.drawn_blocks():
        numbers, rows = _decisions(block)
        names = pa.array([episode_name(number, chance) for number in block.numbers], pa.string())
        sizes = np.diff(block.bounds())[rows]
        columns = [
            pa.repeat(environment, len(rows)),
            names.take(pa.array(np.repeat(np.arange(len(block.numbers)), block.rows - 1))),
            pa.array(numbers),
            texts.clean(actions),
            texts.raw(actions),
            picture_array(block).take(pa.array(rows)),
        ]
        yield pa.Table.from_arrays(columns, SCHEMA.names), sizes


def _decisions(block: PictureBlock) -> tuple[np.ndarray, np.ndarray]:
    """Of each decision: its number in its episode, and which picture of the block shows it."""
    lengths = block.rows - 1
    first = np.cumsum(lengths) - lengths
    numbers = np.arange(lengths.sum()) - np.repeat(first, lengths)
    return numbers, np.arange(lengths.sum()) + np.repeat(np.arange(len(lengths)), lengths)


def _label(table: pa.Table, row: int) -> str:
    environment, episode, frame = (table[name][row].as_py() for name in SCHEMA.names[:3])
    return f"frame {frame} of {episode} of {environment}"
