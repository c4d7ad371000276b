"""Copies of runs of rows: those of numpy, whatever their size and place, on every processor."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.storage.contract import row_bytes
from pipeline.storage.copying import STREAMED, copy_rows
from pipeline.storage.moves import LONG, move_runs

SIZES = st.one_of(st.integers(0, 300), st.integers(LONG - 70, LONG + 400))


@settings(max_examples=40)
@given(
    runs=st.lists(st.tuples(SIZES, st.integers(0, 130), st.integers(0, 130)), max_size=5),
    streamed=st.booleans(),
)
def test_any_runs_of_bytes_arrive_whole_and_nothing_beside_them_is_touched(runs, streamed):
    source = np.random.default_rng(0).integers(0, 256, LONG + 1000, np.uint8)
    targets = [np.full(LONG + 1000, 7, np.uint8) for _ in runs]
    sizes = np.array([size for size, _, _ in runs], np.int64)
    sources = np.array([source.ctypes.data + begin for _, begin, _ in runs], np.uint64)
    places = np.array([each.ctypes.data + to for each, (_, _, to) in zip(targets, runs, strict=True)], np.uint64)
    move_runs(sources, sizes, places, streamed)
    for target, (size, begin, to) in zip(targets, runs, strict=True):
        np.testing.assert_array_equal(target[to : to + size], source[begin : begin + size])
        assert (target[:to] == 7).all()
        assert (target[to + size :] == 7).all()


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3000,), "int64"), ((3000, 3), "bool"), ((500, 40, 7), "float32"), ((300, 5000), "uint8")]
)
def test_rows_of_an_array_go_where_they_are_wanted(rng, shape, dtype):
    source = rng.integers(0, 2, shape).astype(dtype)
    runs = 2 * STREAMED // row_bytes(shape, source.dtype) // 100 + 2
    starts, counts = rng.integers(0, len(source) - 99, runs), rng.integers(0, 100, runs)
    at = np.cumsum(counts + 1) - counts
    out = np.full((int(at[-1] + counts[-1] + 1), *shape[1:]), 5).astype(dtype)
    expected = out.copy()
    for start, count, to in zip(starts, counts, at, strict=True):
        expected[to : to + count] = source[start : start + count]
    copy_rows(source, starts, counts, out, at)
    np.testing.assert_array_equal(out, expected)


def test_rows_beyond_an_array_and_arrays_that_do_not_fit_are_refused():
    source, out, one = np.zeros((10, 3)), np.zeros((5, 3)), np.array([1])
    for start, count, at in ((8, 3, 0), (-1, 1, 0), (0, -1, 0), (0, 3, 3), (0, 1, -1)):
        with pytest.raises(IndexError, match="rows"):
            copy_rows(source, start * one, count * one, out, at * one)
    for wrong in (out[:, :2], out.astype(np.float32), np.asfortranarray(out), out[::2]):
        with pytest.raises(ValueError, match="rows"):
            copy_rows(source, one, one, wrong, one)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="rows"):
        copy_rows(source, one, one, out, one)


@pytest.mark.slow
def test_a_processor_without_wide_stores_copies_the_same():
    code = (
        "import numpy as np; from pipeline.storage.copying import copy_rows;"
        "source = np.arange(3_000_003, dtype=np.uint8); out = np.zeros(3_000_003, np.uint8); one = np.array([1]);"
        "copy_rows(source, one, 2_999_999 * one, out, 2 * one); assert (out[2:3_000_001] == source[1:3_000_000]).all()"
    )
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **generic})
