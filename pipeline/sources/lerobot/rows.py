"""The rows of each episode as Arrow tables: files are read from front to back, a block of rows in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from pipeline.errors import InvalidInput
from pipeline.machine.files import is_plain_file
from pipeline.sources.lerobot.columns import column_numbers
from pipeline.sources.lerobot.names import DATA, FINAL
from pipeline.sources.lerobot.tree import DataFile, Tree, parquet_file, require_columns, unreadable_parquet

BLOCK_BYTES = 2**25
"""Bytes of a block, as they are in memory."""

FACTS = 1000
"""Episodes of which facts are in memory at a time."""


def episode_rows(tree: Tree, wanted: Sequence[int], columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of the wanted episodes, whose numbers ascend. Raises InvalidInput where they are not those of the table.

    `index`, `frame_index` and `episode_index` must say what the table of episodes does.
    """
    asked = np.asarray(wanted, np.int64)
    for file in tree.files:
        inside = asked[np.searchsorted(asked, file.first) : np.searchsorted(asked, file.last)]
        if not len(inside):
            continue
        begin = int(tree.ends[file.first - 1]) if file.first else 0
        require_columns(file.path, columns)
        with closing(_Blocks(file.path, columns, _begin(tree, int(inside[0])) - begin)) as blocks:
            for number in inside.tolist():
                first, last = _begin(tree, number), int(tree.ends[number])
                rows = blocks.rows(first - begin, last - begin)
                _check_numbers(file, rows, number, first)
                yield rows


def last_rows(tree: Tree, wanted: Sequence[int], columns: Sequence[str]) -> Iterator[pa.Table | None]:
    """The row in final/ of each of the wanted episodes, whose numbers ascend; None where it has none."""
    asked = np.asarray(wanted, np.int64)
    for file in tree.files:
        inside = asked[np.searchsorted(asked, file.first) : np.searchsorted(asked, file.last)]
        path = tree.root / FINAL / file.path.relative_to(tree.root / DATA)
        if not is_plain_file(path):
            yield from [None] * len(inside)
            continue
        require_columns(path, columns)
        numbers = _numbers(path)
        if len(numbers) and (numbers[0] < file.first or numbers[-1] >= file.last or (np.diff(numbers) < 1).any()):
            raise InvalidInput(
                f"{path} holds last rows of the episodes {numbers[0]} to {numbers[-1]}; {file.path} holds the episodes "
                f"{file.first} to {file.last - 1}. Copy it again."
            )
        places = np.searchsorted(numbers, inside)
        there = [at < len(numbers) and int(numbers[at]) == each for at, each in zip(places, inside, strict=True)]
        first = int(places[there.index(True)]) if True in there else 0
        with closing(_Blocks(path, columns, first)) as blocks:
            for at, is_there in zip(places.tolist(), there, strict=True):
                yield blocks.rows(at, at + 1) if is_there else None


def facts_of(tree: Tree, wanted: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What meta/episodes says of each of the wanted episodes, whose numbers ascend."""
    asked = np.asarray(wanted, np.int64)
    for first in range(0, len(tree.episodes), FACTS):
        block = tree.episodes.slice(first, FACTS).to_pylist()
        inside = asked[np.searchsorted(asked, first) : np.searchsorted(asked, first + FACTS)]
        yield from (block[number - first] for number in inside.tolist())


class _Blocks:
    """Rows of one file, asked for in ascending order."""

    def __init__(self, path: Path, columns: Sequence[str], start: int) -> None:
        self._path = path
        self._file = parquet_file(path)
        metadata = self._file.metadata
        ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
        skipped = int(np.searchsorted(ends, start, "right"))
        self._first = int(ends[skipped - 1]) if skipped else 0  # the row at which `_held` begins
        bytes_ = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        rows = max(1, BLOCK_BYTES // max(1, bytes_ // max(1, metadata.num_rows)))
        groups = range(skipped, metadata.num_row_groups)
        self._batches = self._file.iter_batches(rows, list(groups), list(columns)) if len(groups) else iter(())
        self._held: list[pa.RecordBatch] = []

    def rows(self, first: int, last: int) -> pa.Table:
        """The rows [first, last). Raises InvalidInput where the file cannot be read."""
        have = self._first + sum(map(len, self._held))
        try:
            while have < last:
                self._held.append(batch := next(self._batches))
                have += len(batch)
        except (pa.ArrowException, OSError, ValueError, StopIteration) as error:
            raise unreadable_parquet(self._path, error if str(error) else ValueError("it ends too early")) from error
        while self._first + len(self._held[0]) <= first:
            self._first += len(self._held.pop(0))
        return pa.Table.from_batches(self._held).slice(first - self._first, last - first)

    def close(self) -> None:
        self._file.close()


def _begin(tree: Tree, number: int) -> int:
    return int(tree.ends[number - 1]) if number else 0


def _numbers(path: Path) -> Int64[np.ndarray, " n"]:
    """The episode of each row of a file in final/."""
    try:
        column = parquet_file(path).read(columns=["episode_index"])["episode_index"].combine_chunks()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable_parquet(path, error) from error
    try:
        return column_numbers(column, "episode_index", np.dtype(np.int64), 1)[:, 0]
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error


def _check_numbers(file: DataFile, rows: pa.Table, number: int, first: int) -> None:
    count = np.arange(len(rows))
    for name, wanted in (
        ("episode_index", np.full(len(rows), number)),
        ("index", count + first),
        ("frame_index", count),
    ):
        have = rows[name]
        values = have.to_numpy() if pa.types.is_integer(have.type) and not have.null_count else None
        if values is None or (values != wanted).any():
            row = 0 if values is None else int(np.argmax(values != wanted))
            found = have[row].as_py()
            raise InvalidInput(
                f"{file.path}: {name} should be {wanted[row]} at row {first + row}, frame {row} of episode {number}, "
                f"as meta/episodes says; it is {found}. Rows were moved, or the table is another version."
            )
