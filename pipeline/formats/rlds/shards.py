"""The files that records are written to: how many, of which episodes, and each whole by its rename."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Refusal
from pipeline.machine.files import sync_file, sync_folder
from pipeline.sources.rlds.layout import shard_name
from pipeline.sources.rlds.records import LONGEST_RECORD, TAIL, FileFormat, array_record, masked_crc
from pipeline.wording import how_many

OPTIONS = "group_size:1"
"""Of an ArrayRecord file, as TensorFlow Datasets writes them: each record can be read by itself."""


def shard_counts(lengths: Int64[np.ndarray, " n"], row_bytes: int, most: int) -> Int64[np.ndarray, " shards"]:
    """How many episodes each file has.

    It follows from the arrays alone, so that it is known before they are written.
    """
    ends = np.cumsum((lengths + 1) * row_bytes)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    _, counts = np.unique(starts // max(most, 1), return_counts=True)
    return counts


def shard_paths(place: Path, template: str, names: tuple[str, str, str], count: int) -> list[Path]:
    """The files of a split, in order."""
    return [place / shard_name(template, names, number, count) for number in range(count)]


def write_shard(path: Path, format: FileFormat, records: Iterator[bytes]) -> None:
    """Write the records into a file that has its name when it is whole and on the disk."""
    unfinished = path.with_name(f".{path.name}.partial")
    write = _write_tfrecord if format == FileFormat.TFRECORD else _write_array_record
    try:
        write(unfinished, _bounded_records(records))
        sync_file(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)


def _bounded_records(records: Iterator[bytes]) -> Iterator[bytes]:
    for record in records:
        if len(record) > LONGEST_RECORD:
            raise CannotHold(
                f"An episode takes {how_many(len(record), 'bytes')} as a record, and protocol buffers, which RLDS is "
                f"made of, read at most {LONGEST_RECORD:,}. {holders(Refusal.LONG)} holds it."
            )
        yield record


def _write_tfrecord(path: Path, records: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for record in records:
            length = len(record).to_bytes(8, "little")
            file.write(length + TAIL.pack(masked_crc(length)))
            file.write(record)
            file.write(TAIL.pack(masked_crc(record)))


def _write_array_record(path: Path, records: Iterator[bytes]) -> None:
    writer = array_record().ArrayRecordWriter(str(path), OPTIONS)
    try:
        for record in records:
            writer.write(record)
        writer.close()
    except RuntimeError as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        if writer.is_open():
            _give_up(writer)


def _give_up(writer: object) -> None:
    """Close a writer whose file is thrown away."""
    try:
        writer.close()  # type: ignore[attr-defined]
    except RuntimeError:
        return
