"""Reads the Arrow and Parquet layouts: a folder an episode, with tables of T+1 rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Shaped

from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.machine.files import read_json
from pipeline.sources.minari.layout import ARROW, METADATA, OF_STEPS
from pipeline.sources.minari.raw import KeyPath, RawEpisode, RawLeaf, reading_minari

NUMBER = re.compile(r"0|[1-9]\d*")

ONE_THREAD = pa.ipc.IpcReadOptions(use_threads=False)
"""Threads cost more than they bring where an episode is a file."""

SHAPE = b"shape"
"""In the metadata of an info's field: the shape of its rows."""


class TableSet:
    """The folder of one dataset. Raises InvalidInput where it cannot be read."""

    def __init__(self, folder: Path, data_format: str) -> None:
        self._folder, self._format = folder, data_format

    def lengths(self) -> dict[int, int]:
        """Steps of each episode by its id, as their metadata say."""
        numbers = sorted(int(each.name) for each in self._folder.iterdir() if NUMBER.fullmatch(each.name))
        return {number: self._length(number) for number in numbers}

    def episodes(self, numbers: Sequence[int]) -> Iterator[RawEpisode]:
        """The episodes of these ids. Raises InvalidInput where one is damaged."""
        for number in numbers:
            folder = self._folder / str(number)
            with reading_minari(folder):
                tables = [self._table(path) for path in self._parts(folder)]
                table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
                leaves = dict(_leaves(table))
                facts = dict(_flattened(self._facts(number)))
            yield RawEpisode(number, leaves, facts, str(folder))

    def _length(self, number: int) -> int:
        steps = self._facts(number).get("total_steps")
        if not isinstance(steps, int) or steps < 0:
            raise InvalidInput(f"{self._folder / str(number) / METADATA}: total_steps must be a number of steps.")
        return steps

    def _facts(self, number: int) -> dict[str, Any]:
        path = self._folder / str(number) / METADATA
        try:
            facts = read_json(path)
        except DamagedArtifact as error:
            raise InvalidInput(str(error)) from error
        if not isinstance(facts, dict):
            raise InvalidInput(f"{path} must hold what is said of an episode, by name.")
        return facts

    def _parts(self, folder: Path) -> list[Path]:
        paths = [path for path in folder.iterdir() if path.suffix == f".{self._format}" and path.name[0] not in "._"]
        if not paths:
            raise InvalidInput(f"{folder} has no file that ends with .{self._format}.")
        return sorted(paths, key=lambda path: (len(path.name), path.name))

    def _table(self, path: Path) -> pa.Table:
        if self._format == ARROW:
            table = pa.ipc.open_file(pa.py_buffer(path.read_bytes()), options=ONE_THREAD).read_all()
        else:
            table = pq.ParquetFile(path).read(use_threads=False)
        table.validate(full=True)
        return table


def _leaves(table: pa.Table) -> Iterator[tuple[KeyPath, RawLeaf]]:
    for name in table.column_names:
        column = table.column(name)
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        array = array[:-1] if name in OF_STEPS else array
        yield from _of(array, table.schema.field(name), (name,))


def _of(array: pa.Array, field: pa.Field, path: KeyPath) -> Iterator[tuple[KeyPath, RawLeaf]]:
    if pa.types.is_struct(array.type):
        for index in range(array.type.num_fields):
            inner = array.type.field(index)
            yield from _of(array.field(index), inner, (*path, inner.name))
    else:
        yield path, _leaf(array, field, "/".join(path))


def _leaf(array: pa.Array, field: pa.Field, name: str) -> RawLeaf:
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return list(array.to_pylist())
    rows = len(array)
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if array.null_count:
            raise InvalidInput(f"{name} has rows without a value.")
        flat = _numbers(array.flatten(), name)
        shape = _shape(field)
        if rows and len(flat) % rows:
            raise InvalidInput(f"{name} has rows of different lengths.")
        return flat.reshape(rows, *shape) if shape is not None else flat.reshape(rows, -1 if rows else 0)
    return _numbers(array, name)


def _numbers(array: pa.Array, name: str) -> Shaped[np.ndarray, "n"]:
    if array.null_count:
        raise InvalidInput(f"{name} has rows without a value.")
    numbers = array.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} holds {array.type}; wanted are numbers or texts.")
    return numbers


def _shape(field: pa.Field) -> tuple[int, ...] | None:
    text = (field.metadata or {}).get(SHAPE)
    return None if text is None else tuple(int(n) for n in text.split(b",") if n)


def _flattened(facts: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{before}{name}/")
        else:
            yield f"{before}{name}", value
