"""Parquet columns back to arrays: blocks of rows, one column at a time, whatever writer the file had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Num

from pipeline.errors import InvalidInput

IMAGES = "image_observations"
"""Eleven gigabytes a game; REGENT trains on embeddings of them and does not bring them back either."""

BLOCK_BYTES = 16 * 2**20
LEAST, MOST = np.iinfo(np.int32).min, np.iinfo(np.int32).max


@dataclass(frozen=True)
class ParquetColumn:
    """One column of a configuration.

    Attributes:
        shape: rows first.
        dtype: as a bin file holds it: float32, or int32 for integers.
        stored: dtype of the numbers in the files.
    """

    name: str
    files: Sequence[Path]
    shape: tuple[int, ...]
    dtype: np.dtype
    stored: np.dtype

    def blocks(self) -> Iterator[Num[np.ndarray, "n ..."]]:
        """(r, *shape[1:]) in `dtype`, in order, about 16 MB each. Raises InvalidInput for rows of unequal shape."""
        step = max(1, BLOCK_BYTES // max(1, int(np.prod(self.shape[1:], dtype=np.int64)) * self.stored.itemsize))
        for path in self.files:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(step, columns=[self.name]):
                    yield self._converted(_numbers(batch.column(0), self.shape[1:], f"{path.name}: {self.name}"))

    def _converted(self, block: Num[np.ndarray, "n ..."]) -> Num[np.ndarray, "n ..."]:
        if block.dtype.kind in "iu" and block.size and (block.min() < LEAST or block.max() > MOST):
            raise InvalidInput(f"{self.name} holds integers beyond 32 bits, which REGENT's bins cannot hold.")
        return block.astype(self.dtype, copy=False)


def columns(files: Sequence[Path]) -> list[ParquetColumn]:
    """The columns of a configuration's files, in order, without pictures. Raises InvalidInput for what is no number."""
    rows = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            rows += file.metadata.num_rows
    with pq.ParquetFile(files[0], pre_buffer=False) as file:
        names = [name for name in file.schema_arrow.names if name != IMAGES]
        head = next(file.iter_batches(1, columns=names), None)
        if head is None:
            raise InvalidInput(f"{files[0].name} holds no row.")
        return [_column(name, files, rows, head.column(name)) for name in names]


def _column(name: str, files: Sequence[Path], rows: int, head: pa.Array) -> ParquetColumn:
    sizes = []
    while isinstance(head, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)):
        sizes.append(len(head[0]))
        head = head.flatten()
    if not (pa.types.is_floating(head.type) or pa.types.is_integer(head.type)):
        raise InvalidInput(f"{name} holds {head.type}, not numbers; such a column makes no bin file.")
    stored = np.dtype(head.type.to_pandas_dtype())
    return ParquetColumn(name, files, (rows, *sizes), np.dtype("<f4" if stored.kind == "f" else "<i4"), stored)


def _numbers(array: pa.Array, shape: Sequence[int], where: str) -> Num[np.ndarray, "n ..."]:
    """Nested lists -> (n, *shape). Raises InvalidInput where one list is longer or shorter than another."""
    rows = count = len(array)
    for size in shape:
        lengths = array.value_lengths() if not isinstance(array, pa.FixedSizeListArray) else None
        array = array.flatten()
        count *= size
        if array.null_count or len(array) != count or (lengths is not None and (lengths.to_numpy() != size).any()):
            raise InvalidInput(f"{where} does not hold {' x '.join(map(str, shape))} numbers in every row.")
    if array.null_count:
        raise InvalidInput(f"{where} has empty places among its numbers.")
    return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(rows, *shape)
