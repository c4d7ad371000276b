"""The Arrow and Parquet layouts: a folder an episode, with one table of T+1 rows and its metadata."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Shaped

from pipeline.episode import Episode, with_last_row
from pipeline.formats.contract import Outgoing
from pipeline.formats.minari.rows import minari_arrays, minari_facts, reset_attributes
from pipeline.sources.minari.layout import ACTIONS, ARROW, INFOS, METADATA, OF_STEPS, ArrayPlace
from pipeline.sources.minari.tables import SHAPE

ENDS = {"arrow": b"ARROW1", "parquet": b"PAR1"}
"""The last bytes of a whole file."""

SMALL = 2**20
"""Bytes of a table that is put together in memory: Arrow writes a dozen pieces of it."""


def write_episode_tables(
    data: Outgoing, places: Sequence[ArrayPlace], folder: Path, data_format: str, discrete: bool
) -> None:
    """A folder for each episode of a task. Goes on after those that are finished.

    `discrete`: the action space is Discrete, so that actions are plain numbers, not lists of one.
    """
    start, rows, schema = _finished(folder, data_format), data.rows, None
    for number, episode in enumerate(data.episodes(start), start):
        (partial := folder / f".{number}").mkdir()
        table = _table(minari_arrays(episode, rows, places), discrete, schema)
        schema = table.schema
        _write(table, f"{partial}/part-0.{data_format}", data_format)
        facts = json.dumps(_table_facts(episode, number), ensure_ascii=False)
        with open(f"{partial}/{METADATA}", "wb", 0) as file:
            file.write(facts.encode())
        partial.rename(folder / str(number))


def _write(table: pa.Table, path: str, data_format: str) -> None:
    if data_format != ARROW:
        pq.write_table(table, path)
        return
    if table.get_total_buffer_size() > SMALL:
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    with open(path, "wb", 0) as whole:
        whole.write(buffer.getvalue())


def _table_facts(episode: Episode, number: int) -> dict[str, Any]:
    facts: dict[str, Any] = dict(minari_facts(episode, number))
    for name, array in reset_attributes(episode).items():
        first, _, rest = name.partition("/")
        facts.setdefault(first, {})[rest] = array.tolist()
    return facts


def _table(arrays: Mapping[str, Shaped[np.ndarray, "_ ..."]], discrete: bool, schema: pa.Schema | None) -> pa.Table:
    """The table of an episode. `schema` is that of an earlier one; making it takes as long as all the rest."""
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        first, _, rest = path.partition("/")
        padded = with_last_row(path, array) if path in OF_STEPS else array
        plain = first in OF_STEPS and (first != ACTIONS or discrete)
        column, shape = (pa.array(padded), None) if plain else _lists(padded)
        if not rest:
            tree[first] = column, shape if first == INFOS else None
        elif first == INFOS:  # Minari 0.5.4 reads no struct in a struct here: a nested name is one field
            tree.setdefault(first, {})[rest] = column, shape
        else:
            *above, last = rest.split("/")
            place = tree.setdefault(first, {})
            for key in above:
                place = place.setdefault(key, {})
            place[last] = column, None
    if schema is not None:
        columns = [_array(each, schema, name) for name, each in tree.items()]
        return pa.Table.from_arrays(columns, schema=schema)
    fields = [_field(name, each) for name, each in tree.items()]
    return _table(arrays, discrete, pa.schema(fields))


def _field(name: str, value: Any) -> pa.Field:
    """The field of a column and its shape; a mapping is a struct."""
    if isinstance(value, dict):
        return pa.field(name, pa.struct([_field(key, each) for key, each in value.items()]))
    array, shape = value
    return pa.field(name, array.type, metadata={SHAPE: shape} if shape else None)


def _array(value: Any, among: pa.Schema | pa.StructType, name: str) -> pa.Array:
    """The array of a column, of which the field is among these; a mapping becomes a struct."""
    if not isinstance(value, dict):
        return value[0]
    struct = among.field(name).type
    return pa.StructArray.from_arrays([_array(each, struct, key) for key, each in value.items()], fields=list(struct))


def _lists(array: Shaped[np.ndarray, "rows *row"]) -> tuple[pa.Array, str]:
    """Rows as flat lists of one size, and their shape in words; a number is a list of one."""
    row = array.shape[1:] or (1,)
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, math.prod(row)), ",".join(str(n) for n in row)


def _finished(folder: Path, data_format: str) -> int:
    """How many episodes are whole, from the first on; one that a power cut tore goes, with all after it."""
    number = 0
    while _is_whole(folder / str(number), data_format):
        number += 1
    for place in folder.iterdir():
        if place.name.removeprefix(".").isdigit() and (place.name.startswith(".") or int(place.name) >= number):
            shutil.rmtree(place)
    return number


def _is_whole(folder: Path, data_format: str) -> bool:
    table, facts = folder / f"part-0.{data_format}", folder / METADATA
    if not table.is_file() or not facts.is_file() or not facts.read_bytes().endswith(b"}"):
        return False
    return table.read_bytes()[-8:].endswith(ENDS[data_format])
