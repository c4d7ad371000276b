"""Parquet files of one JAT task as dense numpy blocks, a few rows at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Shaped

from pipeline.digest import short_hash
from pipeline.errors import InvalidInput
from pipeline.machine.files import is_plain_file

REWARDS, MASK = "rewards", "attention_mask"

BLOCK_BYTES = 8 * 2**20
READ_BYTES = 2**20
SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)(?:-[0-9a-f]+)?\.parquet")  # the raw dataset's names end with a checksum


@dataclass(frozen=True)
class Column:
    """What a column must hold.

    Attributes:
        nesting: lists around each number: one is the steps of a row, two are the steps and the vector of each step.
        whole: whether integers are needed.
    """

    nesting: int
    whole: bool = False


SHARED = {REWARDS: Column(1), MASK: Column(1)}
"""Columns of every task besides its observations and actions."""


@dataclass(frozen=True)
class RowFile:
    """One parquet file; its rows follow those of the file before it."""

    path: Path
    first_row: int
    rows: int
    footer: str
    types: Mapping[str, str]

    def facts(self) -> dict[str, str | int]:
        """What tells this file from another, wherever it lies; the footer holds column statistics and sizes."""
        size = self.path.stat().st_size
        return {"name": self.path.name, "bytes": size, "rows": self.rows, "footer": self.footer}

    def place(self, row: int) -> str:
        """Where a row of the task lies in this file."""
        here = f"{self.path}, row {row - self.first_row}"
        return f"{here} (row {row} of the task)" if self.first_row else here


@dataclass(frozen=True)
class Block:
    """Some successive rows of one file: arrays of shape (rows, row width, ...)."""

    file: RowFile
    first_row: int
    arrays: Mapping[str, np.ndarray]

    def place(self, index: int | np.int64) -> str:
        """Where row `index` of this block lies."""
        return self.file.place(self.first_row + int(index))

    def check_finite(self, name: str, real: Bool[np.ndarray, "rows width"]) -> None:
        """Raise InvalidInput at the first NaN or infinity in a real step; padding may hold anything."""
        finite = np.isfinite(self.arrays[name])
        self.refuse(
            name, real & ~finite.all(axis=tuple(range(2, finite.ndim))), "Every real step needs finite numbers."
        )

    def refuse(self, name: str, bad: Bool[np.ndarray, "rows width"], wanted: str) -> None:
        """Raise InvalidInput at the first step that `bad` (rows, row width) marks, if there is one."""
        if bad.any():
            index, step = np.argwhere(bad)[0].tolist()
            raise InvalidInput(
                f"{wanted} {self.place(index)}, column {name}, step {step} has {self.arrays[name][index, step]}. "
                f"The file is damaged or was exported badly; download it again."
            )


def row_files(folder: Path, columns: Mapping[str, Column]) -> list[RowFile]:
    """The train files of a task folder in row order, each footer read and its columns checked."""
    files: list[RowFile] = []
    for path in train_paths(folder):
        with opened(path) as file:
            types = _number_types(path, file.schema_arrow, columns)
            if files and types != files[0].types:
                raise InvalidInput(
                    f"The files of a task need the same number types. {path} has {_listed(types)}; "
                    f"{files[0].path.name} has {_listed(files[0].types)}. Download the task again into one folder."
                )
            first_row = files[-1].first_row + files[-1].rows if files else 0
            files.append(RowFile(path, first_row, file.metadata.num_rows, _footer(path, file.metadata), types))
    if not sum(file.rows for file in files):
        raise InvalidInput(f"The parquet files in {folder} hold no rows at all. Download the task again.")
    return files


def row_shapes(files: Sequence[RowFile], columns: Mapping[str, Column], width: int) -> dict[str, tuple[int, ...]]:
    """Shape of one row of each column: the row width, and what one step has in the first row of the task."""
    file = next(file for file in files if file.rows)
    nested = [name for name, column in columns.items() if column.nesting > 1]
    batch = next(_batches(file, nested, 0, 1)) if nested else None
    return {
        name: (width, *(_step_shape(file, batch.column(name), name, width, column) if batch and name in nested else ()))
        for name, column in columns.items()
    }


def read_blocks(files: Sequence[RowFile], shapes: Mapping[str, tuple[int, ...]], first_row: int = 0) -> Iterator[Block]:
    """Rows from `first_row` on as blocks of about 8 MB; `shapes` names the columns and the shape of one row."""
    block_rows = max(1, BLOCK_BYTES // (8 * sum(prod(shape) for shape in shapes.values())))
    for file in files:
        row = max(first_row, file.first_row)
        for batch in _batches(file, tuple(shapes), row - file.first_row, block_rows):
            arrays = {name: _dense(file, row, batch.column(name), name, shape) for name, shape in shapes.items()}
            yield Block(file, row, arrays)
            row += batch.num_rows


def train_paths(folder: Path) -> list[Path]:
    """Parquet files of the train split in row order. Raises InvalidInput where the names promise more of them."""
    paths = sorted(folder.glob("*.parquet"), key=_natural)
    train = [path for path in paths if path.name.startswith("train-")]
    train = train or [path for path in paths if not path.name.startswith("test-")]
    if not train:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise InvalidInput(
            f"Parquet files of the train split are needed: {folder / 'train-*.parquet'}. The folder holds {there}. "
            f"Download the task's train files into it."
        )
    _check_shards(folder, train)
    for path in train:
        is_plain_file(path)
    return train


def _natural(path: Path) -> list[tuple[int, str]]:
    # train-2 before train-10: the order of the files is the order of the rows
    return [(int(text), "") if text.isdecimal() else (-1, text) for text in re.split(r"(\d+)", path.name)]


def _check_shards(folder: Path, paths: Sequence[Path]) -> None:
    """Without this check a half-downloaded folder would be read as a shorter dataset, and the two episodes beside a gap
    as one.
    """
    shards = [match for path in paths if (match := SHARD.fullmatch(path.name))]
    if not shards:
        return
    total = max(int(shard[3]) for shard in shards)
    missing = sorted(set(range(total)) - {int(shard[2]) for shard in shards})
    if missing or len(paths) != total:
        lacking = f"number {missing[0]:05d} is not there" if missing else "some names do not fit the others"
        raise InvalidInput(
            f"{folder} needs {total} train files, as their names say; it holds {len(paths)}: {lacking}. "
            f"Finish the download, and keep files of other datasets elsewhere."
        )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open parquet file. Raises InvalidInput for one that cannot be read, then or while it is being read."""
    try:
        # By default pyarrow holds all compressed column chunks that will be asked for, which may be the whole file.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: damaged names in a footer
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        size = path.stat().st_size if path.exists() else 0
        raise InvalidInput(
            f"{path} cannot be read as a parquet file ({reason}); it has {size} bytes. "
            f"It is truncated, damaged or only a pointer of Git LFS; remove it and download it again."
        ) from error


def _footer(path: Path, metadata: Any) -> str:
    with path.open("rb") as file:
        file.seek(-(metadata.serialized_size + 8), 2)
        return short_hash(file.read().hex())


def _number_types(path: Path, schema: Any, columns: Mapping[str, Column]) -> dict[str, str]:
    if missing := [name for name in columns if name not in schema.names]:
        raise InvalidInput(
            f"{path} needs a column {missing[0]}; it has {', '.join(schema.names) or 'none'}. "
            f"Point source.path at the tokenised JAT dataset, not at the raw one, and choose the task's own domain."
        )
    for name in columns:
        check_once(path, schema, name)
    return {name: _number_type(path, schema.field(name).type, name, column) for name, column in columns.items()}


def check_once(path: Path, schema: Any, name: str) -> None:
    """Raises InvalidInput for a column that stands there twice, of which arrow finds none."""
    if schema.names.count(name) > 1:
        raise InvalidInput(f"{path} has the column {name} twice: which one counts? Download the task again.")


def _number_type(path: Path, stored: Any, name: str, column: Column) -> str:
    kind = stored.storage_type if isinstance(stored, pa.BaseExtensionType) else stored
    for _ in range(column.nesting):
        kind = kind.value_type if kind is not None and is_list(kind) else None
    fits = pa.types.is_integer if column.whole else _is_number
    if kind is None or not fits(kind):
        lists = " of ".join(["lists"] * column.nesting)
        raise InvalidInput(
            f"{path}: column {name} must hold {lists} of {'integers' if column.whole else 'numbers'}, it holds "
            f"{stored}. Point source.path at the tokenised JAT dataset."
        )
    return str(kind)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def is_list(kind: Any) -> bool:
    """Whether an arrow type is one of lists, of whatever size."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _listed(types: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in types.items())


def _batches(file: RowFile, columns: Sequence[str], first: int, size: int) -> Iterator[Any]:
    """Record batches from row `first` of a file on; row groups before it are not read."""
    if first >= file.rows:
        return
    with opened(file.path) as parquet:
        groups = list(range(parquet.num_row_groups))
        while first >= (rows := parquet.metadata.row_group(groups[0]).num_rows):
            first -= rows
            groups.pop(0)
        for batch in parquet.iter_batches(size, row_groups=groups, columns=list(columns)):
            if first < batch.num_rows:
                yield batch.slice(first)
            first = max(0, first - batch.num_rows)


def _step_shape(file: RowFile, values: Any, name: str, width: int, column: Column) -> tuple[int, ...]:
    """The shape of a row's first step."""
    values = _storage(values)
    _check_lengths(file, file.first_row, values, name, (width,), 0)
    shape = []
    for _ in range(column.nesting - 1):
        values = values.flatten()[:1]
        shape.append(pc.list_value_length(values)[0].as_py() or 0)
        if not shape[-1]:
            raise InvalidInput(
                f"Every step needs a vector. {file.place(file.first_row)}: the first step of {name} holds no numbers. "
                f"Download the task again."
            )
    return tuple(shape)


def _dense(file: RowFile, row: int, column: Any, name: str, shape: tuple[int, ...]) -> Shaped[np.ndarray, "rows ..."]:
    """A list column as (rows, *shape), without a copy where the numbers are plain."""
    values = _storage(column)
    for depth in range(len(shape)):
        _check_lengths(file, row, values, name, shape, depth)
        values = values.flatten()
    if values.null_count and not pa.types.is_floating(values.type):  # null floats become NaN, which padding may hold
        index = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0] // prod(shape)
        raise InvalidInput(
            f"{file.place(row + index)}: {name} holds nulls where numbers are needed. Download it again."
        )
    dense: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(-1, *shape)
    return dense


def _storage(column: Any) -> Any:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _check_lengths(file: RowFile, row: int, values: Any, name: str, shape: tuple[int, ...], depth: int) -> None:
    lengths = pc.list_value_length(values).fill_null(-1).to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(lengths != shape[depth])
    if len(bad):
        index, within = divmod(int(bad[0]), prod(shape[:depth]))
        step = within // prod(shape[1:depth]) if depth else None
        what = "numbers" if depth == len(shape) - 1 else "lists"
        _refuse_length(file.place(row + index), name, shape[depth], int(lengths[bad[0]]), step, what)


def _refuse_length(place: str, name: str, wanted: int, length: int, step: int | None, what: str) -> NoReturn:
    there = "nothing" if length < 0 else str(length)
    if step is None:
        raise InvalidInput(
            f"A row needs {wanted} steps in every column. {place}: {name} has {there}. "
            f"If the dataset was cut into rows of another width, say so with source.row_width={max(length, 1)}."
        )
    raise InvalidInput(
        f"Every step of a task needs the same width. {place}, step {step}: {name} has {there} {what}, the task's "
        f"first row has {wanted}. Files of two tasks or versions may lie in one folder; download the task again."
    )
