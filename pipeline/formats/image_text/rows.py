"""Rows of an image-text file: cut into row groups by what they hold alone, written, and compared with a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.formats.contract import Outgoing
from pipeline.formats.hidden_parquet import HiddenParquet
from pipeline.frames.store import PictureBlock

GROUP_BYTES = 32 * 2**20
"""Of the pictures of a row group, unless one row has more."""

PROVENANCE_KEY = b"repertoire"
"""In the footer of a file: a list, what made the episodes of each task."""

SHOWN = 5
"""So many rows are named that differ."""


def picture_array(block: PictureBlock) -> pa.LargeBinaryArray:
    """The files of a block, T+1 an episode, without a copy."""
    buffers = [None, pa.py_buffer(block.bounds()), pa.py_buffer(block.png)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(block.ends), buffers)


def row_groups(
    tables: Iterable[tuple[pa.Table, Int64[np.ndarray, "rows"]]], rows: int, most: int = GROUP_BYTES
) -> Iterator[pa.Table]:
    """Tables, given with the bytes of each row, cut anew: so many rows each, or as many as have `most` bytes together.

    What is cut does not depend on how the rows came.
    """
    waiting: list[pa.Table] = []
    count = size = 0
    for table, sizes in tables:
        done = 0
        while done < len(table):
            fits = int(np.searchsorted(np.cumsum(sizes[done : done + rows - count]), most - size, "right"))
            taken = fits or int(not waiting)
            if taken:
                waiting.append(table.slice(done, taken))
            count, size, done = count + taken, size + int(sizes[done : done + taken].sum()), done + taken
            if count == rows or (done < len(table) and waiting):
                yield pa.concat_tables(waiting)
                waiting, count, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)


def write_rows(
    path: Path, groups: Iterable[pa.Table], schema: pa.Schema, pictures: Sequence[str], data: Sequence[Outgoing] = ()
) -> None:
    """Write one file, a row group for each table. `pictures` are columns that no compression makes smaller.

    Its footer says what made the episodes of `data`; give none where that stands beside the file.
    """
    with HiddenParquet(path, schema, **_settings(schema, pictures)) as file:
        for group in groups:
            file.append(group.cast(schema))
        file.finish({PROVENANCE_KEY: json.dumps([dict(each.provenance) for each in data])} if data else {})


def _settings(schema: pa.Schema, pictures: Sequence[str]) -> dict[str, object]:
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    shown = [leaf for leaf in leaves if leaf.partition(".")[0] in pictures]
    return {
        "compression": {leaf: "NONE" if leaf in shown else "snappy" for leaf in leaves},
        "use_dictionary": [leaf for leaf in leaves if leaf not in shown],
        "write_statistics": [leaf for leaf in leaves if "." not in leaf and leaf not in shown],
    }


def _leaves(name: str, kind: pa.DataType) -> Iterator[str]:
    """The names by which parquet knows the columns of a field."""
    if pa.types.is_list(kind):
        yield from _leaves(f"{name}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for inner in kind:
            yield from _leaves(f"{name}.{inner.name}", inner.type)
    else:
        yield name


def wrong_rows(
    path: Path, groups: Iterable[pa.Table], schema: pa.Schema, label: Callable[[pa.Table, int], str]
) -> Iterator[str]:
    """In which rows a file differs from the tables that it should hold. `label` names a row of a table."""
    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(schema):
            yield f"its columns are {', '.join(file.schema_arrow.names)}, or of other types than they should be"
            return
        found = (file.read_row_group(number) for number in range(file.num_row_groups))
        wrong = 0
        for expected, there in zip_longest(groups, found):
            if expected is None or there is None:
                yield "rows are missing at its end" if there is None else "it has more rows than its datasets"
                return
            for sentence in _differing(expected.cast(schema), there, label):
                wrong += 1
                if wrong <= SHOWN:
                    yield sentence
    if wrong > SHOWN:
        yield f"{wrong - SHOWN} more rows differ"


def _differing(expected: pa.Table, there: pa.Table, label: Callable[[pa.Table, int], str]) -> Iterator[str]:
    if expected.equals(there):
        return
    if len(expected) != len(there):
        yield f"a row group has {len(there)} rows where {len(expected)} should be"
        return
    for row in range(len(expected)):
        one, other = expected.slice(row, 1), there.slice(row, 1)
        if columns := [name for name in one.column_names if not one[name].equals(other[name])]:
            yield f"{label(expected, row)} differs in {', '.join(columns)}"
