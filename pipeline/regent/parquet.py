"""Parquet shards from memory maps: nested lists of float32 and int32, one row group in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped

from pipeline.digest import ArrayDigest

if TYPE_CHECKING:  # loaded where something is written: the card and the checks of a finished shard need none of it
    import pyarrow as pa

SHARD_BYTES = 450 * 10**6
"""Raw bytes of one file. Numbers that do not compress take up to 4 % more in it: 500 MB are never reached."""

GROUP_BYTES = 32 * 2**20
"""Raw bytes of one row group: what a streaming reader holds."""


@dataclass(frozen=True)
class Written:
    """One finished configuration: what the dataset card says about it."""

    config: str
    rows: int
    raw_bytes: int
    files: list[Path]
    features: dict[str, str]


def write_config(
    folder: Path, config: str, columns: Mapping[str, Shaped[np.ndarray, "n *shape"]], split: str = "train"
) -> Written:
    """Write the columns, all of the same length, as `folder/config/train-0000i-of-0000n.parquet`.

    A column of shape (n, a, b) becomes `list<list<number>>`. Memory stays at one row group.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = folder / config
    target.mkdir(parents=True)
    rows = len(next(iter(columns.values())))
    per_row = sum(_row_bytes(column) for column in columns.values())
    shard_rows = max(1, SHARD_BYTES // per_row)
    shards = max(1, -(-rows // shard_rows))
    schema = pa.schema([(name, _list_type(column)) for name, column in columns.items()])
    files = []
    for shard in range(shards):
        path = target / f"{split}-{shard:05d}-of-{shards:05d}.parquet"
        start = shard * shard_rows
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in _batches(
                columns, schema, start, min(start + shard_rows, rows), max(1, GROUP_BYTES // per_row)
            ):
                writer.write_batch(batch, row_group_size=batch.num_rows)
        files.append(path)
    return Written(config, rows, per_row * rows, files, {name: _feature(column) for name, column in columns.items()})


def _batches(
    columns: Mapping[str, Shaped[np.ndarray, "n *shape"]], schema: pa.Schema, start: int, stop: int, step: int
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for begin in range(start, stop, step):
        end = min(begin + step, stop)
        yield pa.record_batch([nested(column[begin:end]) for column in columns.values()], schema=schema)


def nested(block: Shaped[np.ndarray, "n *shape"]) -> pa.Array:
    """(n, a, b) numpy -> an Arrow array of n lists of a lists of b numbers; only offsets are added.

    >>> nested(np.array([[[1, 2], [3, 4]]], np.int32)).to_pylist()
    [[[1, 2], [3, 4]]]
    """
    import pyarrow as pa

    values: pa.Array = pa.array(np.ascontiguousarray(block).reshape(-1))
    for axis in range(block.ndim - 1, 0, -1):
        count = int(np.prod(block.shape[:axis], dtype=np.int64))
        offsets = np.arange(count + 1, dtype=np.int32) * np.int32(block.shape[axis])
        values = pa.ListArray.from_arrays(pa.array(offsets), values)
    return values


def _list_type(column: Shaped[np.ndarray, "n *shape"]) -> pa.DataType:
    import pyarrow as pa

    kind: pa.DataType = pa.from_numpy_dtype(column.dtype)
    for _ in column.shape[1:]:
        kind = pa.list_(kind)
    return kind


def _row_bytes(column: Shaped[np.ndarray, "n *shape"]) -> int:
    return int(np.prod(column.shape[1:], dtype=np.int64)) * column.dtype.itemsize


def _feature(column: Shaped[np.ndarray, "n *shape"]) -> str:
    sizes = " x ".join(str(size) for size in column.shape[1:]) or "scalar"
    return f"{sizes}, {np.dtype(column.dtype).name}"


def columns_of(
    folder: Path, dtypes: Mapping[str, Any], shapes: Mapping[str, list[int]]
) -> dict[str, Shaped[np.ndarray, "n *shape"]]:
    """Bin files as memory maps, by key."""
    return {key: np.memmap(folder / f"{key}.bin", dtypes[key], "r", shape=tuple(shapes[key])) for key in dtypes}


def column_digest(key: str, column: Shaped[np.ndarray, "n *shape"]) -> bytes:
    """The digest of a column's content, read in blocks."""
    digest = ArrayDigest(key, column.dtype, column.shape)
    step = max(1, 2**24 // max(1, column[:1].nbytes))
    for start in range(0, len(column), step):
        digest.update(column[start : start + step])
    return digest.digest()
