"""Files of records: checksums, and what is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.sources.rlds.records import FileFormat, array_record, masked_crc, read_records
from tests.rlds_files import crc32c, masked, tfrecord

RECORDS = [b"first", b"", bytes(range(256)) * 30]


def test_checksums_are_those_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    for data in (b"", b"123456789", bytes(1000)):
        assert masked_crc(data).to_bytes(4, "little") == masked(data)


@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize("format", FileFormat)
def test_records_are_read_from_any_number_on(tmp_path: Path, format: FileFormat, start: int):
    path = tmp_path / "records"
    if format == FileFormat.TFRECORD:
        path.write_bytes(tfrecord(RECORDS))
    else:
        writer = array_record().ArrayRecordWriter(str(path), "group_size:1")
        for each in RECORDS:
            writer.write(each)
        writer.close()
    assert list(read_records(path, format, start)) == RECORDS[start:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "record 2 should have 7,680 bytes and its checksum, the file has 7,683"),
        (lambda data: data[:5], "record 0 is cut off after 5 bytes"),
        (lambda data: b"\xff" + data[1:], "the length of .*record 0 has another checksum"),
        (lambda data: data[:13] + b"x" + data[14:], r"record 0 has another checksum \(CRC32C\)"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "record 2 has another checksum"),
    ],
    ids=["cut", "cut in a length", "length", "content", "checksum"],
)
def test_damage_of_a_tfrecord_is_named_with_its_place(tmp_path: Path, change, words: str):
    path = tmp_path / "x.tfrecord"
    path.write_bytes(change(tfrecord(RECORDS)))
    with pytest.raises(InvalidInput, match=f"(?s){words}.*Copy it again"):
        list(read_records(path, FileFormat.TFRECORD))


def test_damage_of_an_array_record_is_named(tmp_path: Path):
    path = tmp_path / "x.array_record"
    writer = array_record().ArrayRecordWriter(str(path), "group_size:1")
    for each in (b"first", bytes(range(256)) * 9):
        writer.write(each)
    writer.close()
    data = path.read_bytes()
    for changed in (b"", b"none", data[: len(data) // 2], data[:-50]):
        path.write_bytes(changed)
        with pytest.raises(InvalidInput, match=r"x\.array_record cannot be opened as an ArrayRecord file"):
            list(read_records(path, FileFormat.ARRAY_RECORD))
    path.write_bytes(data[:90] + bytes([data[90] ^ 1]) + data[91:])
    with pytest.raises(InvalidInput, match=r"x\.array_record: record 0 cannot be read"):
        list(read_records(path, FileFormat.ARRAY_RECORD))
