"""Rows for trainers as Arrow tables, made of whole buffers: stored PNG files, texts, and where a row comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from pipeline.formats.contract import CannotHold, Outgoing
from pipeline.formats.image_text.labels import BlockLabels, Labels
from pipeline.formats.image_text.rows import picture_array
from pipeline.formats.image_text.sharing import RowGroups
from pipeline.formats.image_text.tokens import PictureTokens
from pipeline.formats.image_text.windows import EpisodeRows, RowSpans
from pipeline.frames.store import PictureBlock

PICTURES = "image_list"

ORIGIN = (("environment", pa.string()), ("episode", pa.string()), ("first_step", pa.int64()))
"""Columns that trainers pass over: where a row comes from."""

Texts = Callable[[pa.StringArray, Int64[np.ndarray, "rows"], RowSpans], Mapping[str, pa.Array]]
"""Columns of texts of some rows, from those of actions and the place of each row's first one among them."""


@dataclass(frozen=True)
class TaskRows:
    """The rows of one task.

    Attributes:
        data: the episodes and their pictures.
        windows: which pictures each row has.
        labels: how episodes and actions are called.
        tokens: what a picture is to the trainer; all have one size.
        texts: the form's own columns.
    """

    data: Outgoing
    labels: Labels
    windows: EpisodeRows
    tokens: PictureTokens
    texts: Texts

    @property
    def size(self) -> int:
        """About how many bytes of pictures all rows have."""
        assert self.data.frames is not None
        stored = int(self.data.frames.sizes(len(self.data)).sum())
        return stored * self.windows.pictures // int(self.windows.lengths.sum() + len(self.data))


def row_group_tables(tasks: Sequence[TaskRows], groups: RowGroups, schema: pa.Schema, first: int) -> Iterator[pa.Table]:
    """The row groups from number `first` on, one in memory at a time beside the pictures that it is made of."""
    waiting: list[pa.Table] = []
    group = first
    for table in _pieces(tasks, groups, schema, first):
        waiting.append(table)
        if sum(map(len, waiting)) == len(groups.rows_of(group)):
            yield pa.concat_tables(waiting)
            waiting, group = [], group + 1


def _pieces(tasks: Sequence[TaskRows], groups: RowGroups, schema: pa.Schema, first: int) -> Iterator[pa.Table]:
    """The rows from those of row group `first` on; no table holds rows of two of them."""
    bounds = np.array([groups.rows_of(number).start for number in range(groups.groups)])
    row, before = int(bounds[first]), 0
    for task in tasks:
        windows = task.windows
        if row >= before + windows.rows:
            task.data.advance(len(task.data))
        else:
            for actions, block in task.data.drawn_blocks(windows.episode_of(max(row - before, 0))):
                _require_one_size(task, block)
                start = max(row, before + windows.first_row(block.numbers.start))
                stop = before + windows.first_row(block.numbers.stop)
                if start == stop:  # none of these episodes has a row
                    continue
                called = task.labels.block(actions, block)
                for cut, until in _cuts(start, stop, bounds):
                    yield _table(task, called, block, windows.between(cut - before, until - before), schema)
        before += windows.rows


def _cuts(start: int, stop: int, bounds: Int64[np.ndarray, "groups"]) -> Iterator[tuple[int, int]]:
    """The rows from `start` to `stop`, cut where row groups begin."""
    inner = bounds[np.searchsorted(bounds, start, "right") : np.searchsorted(bounds, stop)].tolist()
    yield from zip([start, *inner], [*inner, stop], strict=True)


def _table(task: TaskRows, called: BlockLabels, block: PictureBlock, spans: RowSpans, schema: pa.Schema) -> pa.Table:
    within = spans.episodes - block.numbers.start
    pictures = (np.cumsum(block.rows) - block.rows)[within] + spans.starts
    columns = {
        PICTURES: in_lists(picture_array(block), pictures, spans.pictures),
        **task.texts(called.clean, pictures - within, spans),  # an episode has one action less than pictures
        "environment": pa.repeat(pa.scalar(task.labels.environment, pa.string()), len(within)),
        "episode": called.names.take(pa.array(within)),
        "first_step": pa.array(spans.starts),
    }
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _require_one_size(task: TaskRows, block: PictureBlock) -> None:
    """Raises CannotHold for a picture of another size than the first: its tokens would be others."""
    sides = block.sides()
    other = np.flatnonzero((sides != (task.tokens.width, task.tokens.height)).any(1) & sides.any(1))
    if len(other):
        episode = block.numbers[int(np.searchsorted(np.cumsum(block.rows), other[0], "right"))]
        raise CannotHold(
            f"Pictures of {task.data.name} of {task.data.domain}/{task.data.task} have several sizes: the first is "
            f"{task.tokens.width} x {task.tokens.height}, one of episode {episode} is not. How many of them fit into "
            f"a row is planned for one size."
        )


def in_lists(values: pa.Array, starts: Int64[np.ndarray, "rows"], counts: Int64[np.ndarray, "rows"]) -> pa.Array:
    """For each i the `counts[i]` values from place `starts[i]` on, as a list."""
    ends = np.cumsum(counts)
    places = np.arange(ends[-1]) + np.repeat(starts - (ends - counts), counts)
    return pa.LargeListArray.from_arrays(pa.array(np.concatenate([[0], ends])), values.take(pa.array(places)))
