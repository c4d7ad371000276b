"""Arrays through parquet and back, whatever wrote it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pipeline.hub.columns
import pipeline.regent.parquet
from pipeline.errors import InvalidInput
from pipeline.hub.columns import columns
from pipeline.hub.upload import MAX_BYTES
from pipeline.regent.parquet import nested, write_config

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7)
ARRAYS = st.one_of(hnp.arrays("<f4", SHAPES), hnp.arrays("<i4", SHAPES))


@settings(max_examples=60)
@given(ARRAYS, st.integers(1, 400), st.integers(1, 100))
def test_what_is_written_comes_back_bit_for_bit(tmp_path_factory, array, shard_bytes, block_bytes):
    folder = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.regent.parquet, "SHARD_BYTES", shard_bytes)
        patch.setattr(pipeline.regent.parquet, "GROUP_BYTES", max(1, shard_bytes // 3))
        patch.setattr(pipeline.hub.columns, "BLOCK_BYTES", block_bytes)
        written = write_config(folder, "config", {"x": array})
        (column,) = columns(written.files)
        blocks = list(column.blocks())
    assert (column.shape, column.dtype) == (array.shape, array.dtype)
    assert np.concatenate(blocks).tobytes() == array.tobytes()
    assert all(len(block) == 1 or block.nbytes <= block_bytes for block in blocks)


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3)])
def test_lists_of_other_writers_are_read(tmp_path, kind):
    array = np.arange(30, dtype=np.float32).reshape(10, 3)
    pq.write_table(pa.table({"x": pa.array(array.tolist(), kind)}), tmp_path / "a.parquet", row_group_size=4)
    (column,) = columns([tmp_path / "a.parquet"])
    np.testing.assert_array_equal(np.concatenate(list(column.blocks())), array, strict=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [3.0]], "does not hold 2 numbers in every row"),
        ([[1.0, 2.0], [3.0, None]], "has empty places|does not hold"),
        ([[1.0, 2.0], None], "does not hold 2 numbers in every row"),
        ([["a", "b"]], "holds string, not numbers"),
    ],
)
def test_what_is_no_array_is_refused(tmp_path, rows, message):
    pq.write_table(pa.table({"x": pa.array(rows)}), tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match=message):
        for column in columns([tmp_path / "a.parquet"]):
            list(column.blocks())


def test_a_shard_of_numbers_that_do_not_compress_stays_below_the_limit(tmp_path, monkeypatch, rng):
    share = pipeline.regent.parquet.SHARD_BYTES / MAX_BYTES
    monkeypatch.setattr(pipeline.regent.parquet, "SHARD_BYTES", 4 * 10**6)
    for name, shape in {
        "rows": (300, 64, 39),
        "states": (30_000, 20),
        "pairs": (20_000, 20, 2),
        "flat": (900_000,),
    }.items():
        noise = rng.integers(0, 2**32, size=shape, dtype=np.uint32).view(np.int32)
        written = write_config(tmp_path, name, {"x": noise})
        assert max(path.stat().st_size for path in written.files) * share <= 4 * 10**6


def test_nested_lists_have_the_arrays_order():
    assert nested(np.arange(6).reshape(1, 2, 3)).to_pylist() == [[[0, 1, 2], [3, 4, 5]]]
