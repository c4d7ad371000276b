"""Parquet files as rows: shards, columns, widths, numbers, damage, and how much memory reading takes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InvalidInput
from pipeline.sources.jat import rows as jat_rows
from pipeline.sources.jat.source import JatSource
from tests.jat_files import SCHEMA, make_jat, write_rows
from tests.pipeline.sources.jat.readings import read, refusal


def test_a_folder_of_the_test_split_alone_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3], metadata=False)
    task.paths[0].unlink()
    message = refusal(task)
    assert "train-*.parquet" in message
    assert "holds test-00000-of-00001.parquet" in message


def test_a_missing_shard_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3, 300, 300, 4], files=3, metadata=False)
    task.paths[1].unlink()
    message = refusal(task)
    assert "needs 3 train files" in message
    assert "number 00001 is not there" in message


@pytest.mark.parametrize("column", SCHEMA.names[:4])
def test_a_missing_column_is_named_with_those_there(tmp_path: Path, column: str):
    task = make_jat(tmp_path, [3])
    task.write(schema=SCHEMA.remove(SCHEMA.get_field_index(column)))
    message = refusal(task)
    assert f"needs a column {column}; it has " in message
    assert "loss_weight" in message


@pytest.mark.parametrize(("domain", "column"), [("atari", "image_observations"), ("babyai", "discrete_observations")])
def test_a_task_of_another_domain_is_refused_with_the_columns_there(tmp_path: Path, domain: str, column: str):
    make_jat(tmp_path, [3], name=f"{domain}-ant")
    with pytest.raises(InvalidInput, match=f"needs a column {column}; it has continuous_observations, "):
        JatSource(str(tmp_path)).identity(domain, "ant")


def test_columns_that_hold_no_vectors_are_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3])
    for row in task.rows:
        row["continuous_actions"] = [step[0] for step in row["continuous_actions"]]
    task.write(schema=SCHEMA.set(1, pa.field("continuous_actions", pa.list_(pa.float64()))))
    assert "continuous_actions must hold lists of lists of numbers, it holds list<element: double>" in refusal(task)


def test_files_of_other_number_types_are_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3, 4], files=2)
    narrow = SCHEMA.set(0, pa.field("continuous_observations", pa.list_(pa.list_(pa.float32()))))
    write_rows(task.paths[1], task.rows[1:], schema=narrow)
    message = refusal(task)
    assert "train-00001-of-00002.parquet has continuous_observations float," in message
    assert "train-00000-of-00002.parquet has continuous_observations double," in message


def test_rows_of_another_width_are_refused_with_the_setting_that_reads_them(tmp_path: Path):
    make_jat(tmp_path, [3], width=128)
    with pytest.raises(InvalidInput, match=r"needs 256 steps .*row 0: attention_mask has 128.*source.row_width=128"):
        next(JatSource(str(tmp_path)).episodes("mujoco", "ant"))


@pytest.mark.parametrize("column", SCHEMA.names[:4])
def test_a_row_of_another_length_is_named(tmp_path: Path, column: str):
    task = make_jat(tmp_path, [3, 4, 5, 6], files=2, row_group_rows=1)
    task.rows[3][column].pop()
    task.write(files=2, row_group_rows=1)
    message = refusal(task)
    assert f"row 1 (row 3 of the task): {column} has 255" in message


@pytest.mark.parametrize(("vector", "there"), [([1.0], "1"), ([1.0, 2.0, 3.0, 4.0], "4"), (None, "nothing")])
def test_a_step_of_another_width_is_named(tmp_path: Path, vector: list[float] | None, there: str):
    task = make_jat(tmp_path, [30, 40])
    task.rows[1]["continuous_observations"][17] = vector
    task.write()
    message = refusal(task)
    assert f"row 1, step 17: continuous_observations has {there} numbers" in message
    assert "first row has 3" in message


def test_a_row_without_a_value_is_named(tmp_path: Path):
    task = make_jat(tmp_path, [30, 40])
    task.rows[1]["rewards"] = None  # type: ignore[assignment]
    task.write()
    assert "row 1: rewards has nothing" in refusal(task)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("column", ["continuous_observations", "continuous_actions", "rewards"])
def test_a_number_that_is_none_is_named_by_file_row_column_and_step(tmp_path: Path, column: str, value: float | None):
    task = make_jat(tmp_path, [30, 40, 50], files=2)
    if column == "rewards":
        task.rows[2][column][11] = value
    else:
        task.rows[2][column][11][1] = value
    task.write(files=2)
    message = refusal(task)
    assert f"train-00001-of-00002.parquet, row 1 (row 2 of the task), column {column}, step 11 has" in message


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int):
    task = make_jat(tmp_path, [30])
    task.paths[0].write_bytes(task.paths[0].read_bytes()[:keep])
    message = refusal(task)
    assert "train-00000-of-00001.parquet cannot be read as a parquet file" in message
    assert "download it again" in message


def test_damaged_pages_are_refused_when_they_are_reached(tmp_path: Path):
    task = make_jat(tmp_path, [256] * 8)
    content = bytearray(task.paths[0].read_bytes())
    column = pq.read_metadata(task.paths[0]).row_group(0).column(0)
    start = column.data_page_offset
    content[start : start + 2000] = b"\xff" * 2000
    task.paths[0].write_bytes(content)
    assert "cannot be read as a parquet file" in refusal(task)


def test_a_single_wrong_byte_is_refused_where_pages_carry_checksums(tmp_path: Path):
    task = make_jat(tmp_path, [30])
    pq.write_table(pq.read_table(task.paths[0]), task.paths[0], compression="none", write_page_checksum=True)
    content = bytearray(task.paths[0].read_bytes())
    column = pq.read_metadata(task.paths[0]).row_group(0).column(0)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    task.paths[0].write_bytes(content)
    assert "cannot be read as a parquet file" in refusal(task)


def test_a_footer_with_damaged_names_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [30])
    content = task.paths[0].read_bytes()
    task.paths[0].write_bytes(content.replace(b"loss_weight", b"loss\xffweight"))
    assert "cannot be read as a parquet file" in refusal(task)


def test_files_without_any_row_are_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3], metadata=False)
    task.rows.clear()
    task.write()
    assert "hold no rows" in refusal(task)


def test_memory_does_not_grow_with_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jat_rows, "BLOCK_BYTES", 2**18)
    rows, width, vector = 400, 256, 24
    numbers = rows * width * vector
    folder = tmp_path / "mujoco-ant"
    folder.mkdir()

    def lists(values: Any, size: int) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, size), pa.int32()), values)

    steps = lists(pa.array(np.random.default_rng(0).normal(size=numbers)), vector)
    short = [1] * 99 + [0] * 157
    table = pa.table(
        {
            "continuous_observations": lists(steps, width),
            "continuous_actions": lists(steps, width),
            "rewards": pa.array([[0.0] * width] * rows, pa.list_(pa.float64())),
            "attention_mask": pa.array([short] * rows, pa.list_(pa.int8())),
        }
    )
    pq.write_table(table, folder / "train-00000-of-00001.parquet", use_dictionary=False)  # one row group
    del steps, table
    before, peak, count = pa.total_allocated_bytes(), 0, 0
    for _ in JatSource(str(tmp_path)).episodes("mujoco", "ant"):
        peak, count = max(peak, pa.total_allocated_bytes() - before), count + 1
    assert count == rows
    assert peak < 2 * numbers * 8 / 5  # measured: a twentieth of the 39 MB


def test_rows_before_the_start_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_jat(tmp_path, [10] * 12, files=3, row_group_rows=2)
    source, read_groups = JatSource(str(tmp_path)), []
    original = pq.ParquetFile.iter_batches

    def spy(file: Any, size: int, row_groups: list[int], columns: list[str]) -> Any:
        read_groups.append((len(columns), row_groups))
        return original(file, size, row_groups=row_groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    assert len(list(source.episodes("mujoco", "ant", 7))) == 5
    assert [groups for columns, groups in read_groups if columns == 3] == [[1], [0, 1]]


def test_lists_of_fixed_and_large_size_read_alike(tmp_path: Path):
    task = make_jat(tmp_path, [300, 5])
    digests = [episode.digest() for episode in read(task)]
    task.write(
        schema=SCHEMA.set(0, pa.field("continuous_observations", pa.large_list(pa.list_(pa.float64(), 3)))).set(
            2, pa.field("rewards", pa.list_(pa.float64(), 256))
        )
    )
    assert [episode.digest() for episode in read(task)] == digests


def test_the_test_split_is_never_read(tmp_path: Path):
    task = make_jat(tmp_path, [4, 5])
    (train,) = task.paths
    train.rename(train.with_name("part.parquet"))
    assert [episode.length for episode in read(task)] == [4, 5]


def test_shards_follow_one_another_by_number_not_by_spelling(tmp_path: Path):
    task = make_jat(tmp_path, list(range(1, 13)), files=12, metadata=False)
    for number, path in enumerate(task.paths):
        path.rename(path.with_name(f"train-{number}.parquet"))
    assert [episode.length for episode in read(task)] == list(range(1, 13))


@pytest.mark.parametrize(
    ("kind", "there"),
    [
        (pa.float64(), "double"),
        (pa.string(), "string"),
        (pa.null(), "null"),
        (pa.struct([("bytes", pa.binary()), ("path", pa.string())]), "struct<bytes: binary, path: string>"),
        (pa.list_(pa.struct([("bytes", pa.binary())])), "list<element: struct<bytes: binary>>"),
        (pa.list_(pa.list_(pa.list_(pa.float64()))), "list<element: list<element: list<element: double>>>"),
        (pa.list_(pa.null()), "list<element: null>"),
        (pa.dictionary(pa.int32(), pa.string()), "dictionary<values=string, indices=int32, ordered=0>"),
        (pa.map_(pa.string(), pa.float64()), "map<string, double ('continuous_observations')>"),
    ],
)
def test_a_column_of_another_kind_is_refused_with_what_it_holds(tmp_path: Path, kind: pa.DataType, there: str):
    task = make_jat(tmp_path, [3])
    table = pq.read_table(task.paths[0])
    pq.write_table(table.set_column(0, "continuous_observations", pa.nulls(len(table), kind)), task.paths[0])
    assert f"continuous_observations must hold lists of lists of numbers, it holds {there}." in refusal(task)


@pytest.mark.parametrize("column", SCHEMA.names[:4])
def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path, column: str):
    task = make_jat(tmp_path, [3])
    table = pq.read_table(task.paths[0])
    pq.write_table(table.append_column(column, table[column]), task.paths[0])
    assert f"has the column {column} twice" in refusal(task)


def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path: Path):
    task = make_jat(tmp_path, [3])
    task.paths[0].unlink()
    os.mkfifo(task.paths[0])
    assert "train-00000-of-00001.parquet must be a file; a named pipe is there" in refusal(task)


def test_a_file_without_rows_among_others_is_counted(tmp_path: Path):
    task = make_jat(tmp_path, [3, 4, 5], files=3)
    write_rows(task.paths[1], [])
    task.rows.pop(1)
    source = JatSource(str(tmp_path))
    for path in task.task_folder.glob("*.json"):
        path.unlink()
    assert [episode.length for episode in source.episodes("mujoco", "ant")] == [3, 5]
    (quirk,) = source.quirks("mujoco", "ant")
    assert (quirk.name, quirk.sentence) == ("files_without_rows", "1 file holds no rows: train-00001-of-00003.parquet.")


def test_rows_that_come_twice_are_counted(tmp_path: Path):
    task = make_jat(tmp_path, [3, 300, 5], metadata=False)
    task.rows += [task.rows[0], task.rows[3]]
    task.write()
    source = JatSource(str(tmp_path))
    assert len(list(source.episodes("mujoco", "ant"))) == 5
    (quirk,) = source.quirks("mujoco", "ant")
    assert (quirk.name, quirk.count) == ("copied_rows", 2)
