"""Spans: rows at random places of many arrays, the same as slices of them, in any process."""

import json
import multiprocessing
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.storage.chunk_bytes
import pipeline.storage.contract
import pipeline.storage.recent
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import read_json
from pipeline.storage.choice import open_arrays, storage_named
from pipeline.storage.contract import MissingArray, write_arrays
from pipeline.storage.spans import Spans
from pipeline.storage.zarr import ZarrStorage
from pipeline.storage.zarr import _metadata as zarr_metadata
from tests.contracts.storage import DTYPES

PARTS = 3


def folder_of(root, number):
    return Path(root) / str(number)


def write_new(storage, folder, name, array):
    write_arrays(storage_named(storage), folder, {name: array})


def write_old(folder, name, array, codec="zstd"):
    """As before each chunk had a CRC: with Zstandard's own checksum, and chunks of zeros are left out."""
    text = json.dumps(zarr_metadata(array.shape, array.dtype))
    text = text.replace('"checksum": false}}, {"name": "crc32c"}', '"checksum": true}}')
    metadata = json.loads(text if codec == "zstd" else text.replace("zstd", codec).replace(', "checksum": true', ""))
    del metadata["attributes"]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder / name}/"}, "metadata": metadata}
    ts.open(spec, create=True).result().write(array).result()
    ZarrStorage().create_folder(folder)


WRITERS = {
    "bin": partial(write_new, "bin"),
    "zarr": partial(write_new, "zarr"),
    "older zarr": write_old,
}


def spans_of(root, array, name="steps/a", **options):
    return Spans(partial(folder_of, root), name, array.shape[1:], array.dtype, **options)


def read(spans, array, runs):
    """Runs of (part, start, count), one after the other with a row left out between two of them."""
    parts, starts, counts = (np.array(each, np.int64) for each in zip(*runs, strict=True))
    at = np.cumsum(counts + 1) - counts
    out = np.full((int(counts.sum()) + len(runs) + 1, *array.shape[1:]), 3).astype(array.dtype)
    spans.read(parts, starts, counts, out, at)
    return out, at


def open_files():
    """How many files this process has open; 0 where the system does not list them."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 400 bytes, ten of them in a shard."""
    monkeypatch.setattr(pipeline.storage.contract, "CHUNK_BYTES", 400)
    monkeypatch.setattr(pipeline.storage.contract, "SHARD_BYTES", 4000)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_spans_are_the_rows_of_the_arrays(writer, dtype, small_chunks, tmp_path, rng):
    array = np.where(rng.random((150, 7)) < 0.5, rng.integers(0, 100, (150, 7)), 0).astype(dtype)
    array[60:120] = 0  # chunks that older arrays leave out
    parts = [array, array[:5] + array[:1], array[::-1].copy()]
    for number, part in enumerate(parts):
        WRITERS[writer](folder_of(tmp_path, number), "steps/a", part)
    spans = spans_of(tmp_path, array)
    runs = [(0, 0, 150), (2, 3, 20), (1, 0, 5), (0, 145, 5), (0, 50, 0), (2, 3, 20), (2, 149, 1), (0, 57, 14)]
    runs += [(2, int(start), 4) for start in rng.integers(0, 146, 30)]
    out, at = read(spans, array, runs)
    for (part, start, count), place in zip(runs, at.tolist(), strict=True):
        np.testing.assert_array_equal(out[place : place + count], parts[part][start : start + count])
        np.testing.assert_array_equal(out[place - 1], np.full(7, 3).astype(dtype))  # what lies between is as it was


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same 200 rows of frames in each storage, in parts of equal content, and the rows."""
    root = tmp_path_factory.mktemp("stored")
    frames = np.random.default_rng(0).integers(0, 4, (200, 40, 40), np.uint8)
    for writer, write in WRITERS.items():
        for part in range(PARTS):
            write(folder_of(root / writer, part), "steps/a", frames)
    return root, frames


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=20)
@given(data=st.data())
def test_any_spans_are_the_rows_of_the_array(stored, writer, data):
    root, frames = stored
    start = st.integers(0, 199)
    run = start.flatmap(lambda a: st.tuples(st.integers(0, PARTS - 1), st.just(a), st.integers(0, 200 - a)))
    runs = data.draw(st.lists(run, min_size=1, max_size=6))
    out, at = read(spans_of(root / writer, frames, threads=data.draw(st.integers(1, 3))), frames, runs)
    for (_, first, count), place in zip(runs, at.tolist(), strict=True):
        np.testing.assert_array_equal(out[place : place + count], frames[first : first + count])


@pytest.mark.parametrize("writer", WRITERS)
def test_a_forked_process_reads_what_its_parent_reads(stored, writer):
    root, frames = stored
    spans, runs = spans_of(root / writer, frames, threads=2), [(0, 3, 100), (2, 90, 110)]
    expected, _ = read(spans, frames, runs)  # its threads do not come along
    open_arrays(root / "zarr" / "0")["steps/a"][:3]  # tensorstore has threads here, too
    for each in (spans, pickle.loads(pickle.dumps(spans))):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            np.testing.assert_array_equal(pool.apply(read, (each, frames, runs))[0], expected)


@pytest.mark.parametrize("writer", WRITERS)
def test_numbers_go_into_an_array_of_the_other_byte_order(tmp_path, writer, rng):
    array = rng.normal(size=(50, 3)).astype("<f4")
    WRITERS[writer](folder_of(tmp_path, 0), "steps/a", array)
    out = np.zeros((50, 3), ">f4")
    spans_of(tmp_path, array).read(*np.array([[0], [10], [30]]), out, np.array([15]))
    np.testing.assert_array_equal(out[15:45], array[10:40])
    assert not out[:15].any()
    assert not out[45:].any()


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (4,), (4, 1, 2)])
@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_rows_of_every_shape_are_read(tmp_path, storage, shape):
    array = np.ones(shape, np.int16)
    write_new(storage, folder_of(tmp_path, 0), "steps/a", array)
    out, _ = read(spans_of(tmp_path, array), array, [(0, 0, len(array))])
    np.testing.assert_array_equal(out[1 : 1 + len(array)], array)


def test_chunks_of_another_kind_are_read_as_their_storage_does(tmp_path, rng):
    array = rng.integers(0, 9, (40_000, 5), np.uint8)
    write_old(folder_of(tmp_path, 0), "steps/a", array, "gzip")
    assert "gzip" in str(read_json(tmp_path / "0" / "steps" / "a" / "zarr.json"))
    out, _ = read(spans_of(tmp_path, array), array, [(0, 26_000, 300)])
    np.testing.assert_array_equal(out[1:301], array[26_000:26_300])


@pytest.mark.parametrize("writer", ["zarr", "older zarr"])
def test_chunks_are_decoded_where_numcodecs_shows_no_functions_of_zstandard(stored, writer, monkeypatch):
    monkeypatch.setattr(pipeline.storage.chunk_bytes, "zstd_functions", lambda: None)
    root, frames = stored
    out, _ = read(spans_of(root / writer, frames), frames, [(1, 20, 100)])
    np.testing.assert_array_equal(out[1:101], frames[20:120])


def test_several_parts_may_be_in_several_storages(stored, tmp_path):
    root, frames = stored
    for number, writer in enumerate(WRITERS):
        folder_of(tmp_path, number).symlink_to(root / writer / "0")
    out, at = read(spans_of(tmp_path, frames), frames, [(2, 5, 30), (0, 6, 31), (1, 7, 32)])
    for first, count, place in zip((5, 6, 7), (30, 31, 32), at.tolist(), strict=True):
        np.testing.assert_array_equal(out[place : place + count], frames[first : first + count])


@pytest.mark.parametrize("writer", WRITERS)
def test_rows_that_the_caller_knows_are_the_rows_that_are_there(stored, writer):
    root, frames = stored
    out, _ = read(spans_of(root / writer, frames, rows={0: 200}.get), frames, [(0, 150, 50)])
    np.testing.assert_array_equal(out[1:51], frames[150:])
    with pytest.raises(DamagedArtifact, match="not 199|318400 bytes"):
        read(spans_of(root / writer, frames, rows={0: 199}.get), frames, [(0, 100, 50)])


@pytest.mark.parametrize("writer", WRITERS)
def test_as_many_files_stay_open_as_are_allowed(stored, writer, monkeypatch):
    monkeypatch.setattr(pipeline.storage.recent, "OPENED", 2)
    pipeline.storage.recent._opened.clear()
    root, frames = stored
    spans = spans_of(root / writer, frames, threads=3)
    read(spans, frames, [(part, first, 30) for part in range(PARTS) for first in (0, 160)])
    before = open_files()
    for part in (0, 1, 2, 0, 2):
        out, _ = read(spans, frames, [(part, 10, 30), ((part + 1) % PARTS, 10, 30)])
        np.testing.assert_array_equal(out[1:31], frames[10:40])
        assert len(pipeline.storage.recent._opened) == 2
    assert open_files() == before
    del spans
    assert not pipeline.storage.recent._opened


@pytest.mark.parametrize("writer", WRITERS)
def test_what_does_not_fit_is_refused(stored, writer):
    root, frames = stored
    spans, one = spans_of(root / writer, frames), np.array([0])
    out = np.zeros((10, 40, 40), np.uint8)
    with pytest.raises(ValueError, match="there is place for"):
        spans.read(one, one, one + 1, out[:, :39], one)
    with pytest.raises(ValueError, match="there is place for"):
        spans.read(one, one, one + 1, out.view(np.int8), one)
    with pytest.raises(ValueError, match="in C order"):
        spans.read(one, one, one + 1, out[::2], one)
    with pytest.raises(IndexError, match="rows 5 to 11 of 10"):
        spans.read(one, one, one + 6, out, one + 5)
    with pytest.raises(DamagedArtifact, match="has 200 rows; 195 to 201 were wanted"):
        spans.read(one, one + 195, one + 6, out, one)
    with pytest.raises(MissingArray, match="no array steps/b"):
        spans_of(root / writer, frames, "steps/b").read(one, one, one + 6, out, one)
    with pytest.raises(DamagedArtifact, match=r"rows uint8 \(40, 40\), not uint8 \(40, 39\)"):
        spans_of(root / writer, frames[:, :, :39]).read(one, one, one + 6, np.zeros((10, 40, 39), np.uint8), one)
