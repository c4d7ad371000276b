"""A parquet file that appears whole: its name begins with a dot until it is finished."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.machine.files import sync_file, sync_folder


class HiddenParquet:
    """A file under way. `settings` are those of pyarrow's writer.

    A context manager: without an error the file gets its name, else it stays hidden.
    """

    def __init__(self, path: Path, schema: pa.Schema, **settings: Any) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._hidden = path.with_name(f".{path.name}.partial")
        self._sink = pa.OSFile(str(self._hidden), "wb")
        self._writer = pq.ParquetWriter(self._sink, schema, **settings)

    @property
    def size(self) -> int:
        """Bytes that were written so far."""
        return int(self._sink.tell())

    def append(self, table: pa.Table) -> None:
        """One row group more."""
        self._writer.write_table(table, max(1, len(table)))

    def finish(self, metadata: Mapping[bytes, str]) -> None:
        """Give the file its name, with this in its footer."""
        if metadata:
            self._writer.add_key_value_metadata(metadata)
        self.close()
        sync_file(self._hidden)
        self._hidden.replace(self._path)
        sync_folder(self._path.parent)

    def close(self) -> None:
        """Close it under its hidden name."""
        self._writer.close()
        self._sink.close()

    def __enter__(self) -> HiddenParquet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._sink.closed:
            self.finish({})
        elif not self._sink.closed:
            self.close()
