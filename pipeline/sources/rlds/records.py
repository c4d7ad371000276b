"""Files of records: TFRecord, and ArrayRecord through the package array_record.

A TFRecord is, for each record, its length (8 bytes), the masked CRC32C of these (4), the record, and its masked CRC32C.
Source: https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import google_crc32c

from pipeline.errors import InvalidInput
from pipeline.machine.extras import import_extra
from pipeline.machine.files import is_plain_file
from pipeline.wording import first_line

HEAD = struct.Struct("<QI")
TAIL = struct.Struct("<I")

MASK = 0xA282EAD8

LONGEST_RECORD = 2**31 - 1
"""Bytes that protocol buffers read of one message."""


class FileFormat(StrEnum):
    """`format.file`, and `fileFormat` of dataset_info.json."""

    ARRAY_RECORD = "array_record"
    TFRECORD = "tfrecord"


def masked_crc(data: bytes) -> int:
    """CRC32C, rotated and moved, so that the sum of data with sums in it is no weak one.

    >>> hex(masked_crc(b"123456789"))
    '0xc7e74b1b'
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def array_record() -> ModuleType:
    """The package that reads and writes ArrayRecord files. Raises InvalidInput where it is not installed."""
    return import_extra("rlds", "array_record.python.array_record_module")


def read_records(path: Path, format: FileFormat, start: int = 0) -> Iterator[bytes]:
    """The records of a file from number `start` on. Raises InvalidInput where the file is damaged."""
    if not is_plain_file(path):
        raise InvalidInput(f"{path} is not there.")
    if format == FileFormat.TFRECORD:
        yield from _read_tfrecord(path, start)
    else:
        yield from _read_array_record(path, start)


def _read_tfrecord(path: Path, start: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        left = path.stat().st_size
        number = 0
        while head := file.read(HEAD.size):
            where = f"{path}: record {number}"
            length = _length(head, where)
            left -= HEAD.size
            if length + TAIL.size > left:
                raise _damaged(f"{where} should have {length:,} bytes and its checksum, the file has {max(left, 0):,}")
            if number < start:
                file.seek(length + TAIL.size, 1)
            else:
                yield _checked(file, length, where)
            left -= length + TAIL.size
            number += 1


def _length(head: bytes, where: str) -> int:
    if len(head) < HEAD.size:
        raise _damaged(f"{where} is cut off after {len(head)} bytes")
    length, crc = HEAD.unpack(head)
    if masked_crc(head[:8]) != crc:
        raise _damaged(f"the length of {where} has another checksum (CRC32C)")
    return int(length)


def _checked(file: BinaryIO, length: int, where: str) -> bytes:
    record = file.read(length)
    (crc,) = TAIL.unpack(file.read(TAIL.size))
    if masked_crc(record) != crc:
        raise _damaged(f"{where} has another checksum (CRC32C)")
    return record


def _read_array_record(path: Path, start: int) -> Iterator[bytes]:
    reader = array_record().ArrayRecordReader(str(path), "readahead_buffer_size:0,max_parallelism:0")
    if not reader.ok():
        raise _damaged(f"{path} cannot be opened as an ArrayRecord file{_reason(reader)}")
    try:
        for number in range(start, reader.num_records()):
            try:
                (record,) = reader.read(number, number + 1)
            except (RuntimeError, ValueError, IndexError) as error:
                raise _damaged(f"{path}: record {number} cannot be read ({first_line(error)})") from error
            yield record
    finally:
        _reason(reader)


def _reason(reader: Any) -> str:
    """Why a file could not be read, which its reader says when it is closed."""
    try:
        reader.close()
    except RuntimeError as error:
        return f" ({first_line(error)})"
    return ""


def _damaged(what: str) -> InvalidInput:
    return InvalidInput(f"{what}: the file is damaged, or was not copied whole. Copy it again.")
