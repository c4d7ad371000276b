"""Arrays of a draft: written in blocks of any size, resumed at the last durable one, hashed as if written at once."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.storage.contract
from pipeline.digest import ArrayDigest
from pipeline.storage.choice import open_arrays, storage_named
from pipeline.storage.contract import block_rows
from pipeline.storage.resumable import PROGRESS, ArrayWriter

SHAPE, DTYPE = (1000, 3), np.dtype("<f4")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of 120 rows in chunks of 40, so that a thousand rows are many blocks."""
    monkeypatch.setattr(pipeline.storage.contract, "CHUNK_BYTES", 40 * 12)
    monkeypatch.setattr(pipeline.storage.contract, "SHARD_BYTES", 120 * 12)
    assert block_rows(SHAPE, DTYPE) == 120


def begin(storage, folder):
    folder.mkdir(exist_ok=True)
    if not (folder / "arrays").exists():
        storage.create_folder(folder / "arrays")
    return ArrayWriter(storage, folder / "arrays", folder / PROGRESS, "group/a", SHAPE, DTYPE)


def numbers():
    return np.random.default_rng(0).normal(size=SHAPE).astype(DTYPE)


def digest_of(array):
    digest = ArrayDigest("group/a", DTYPE, SHAPE)
    digest.update(array)
    return digest.digest()


@pytest.mark.parametrize("name", ["zarr", "bin"])
@settings(max_examples=15)
@given(deaths=st.lists(st.integers(0, 999), max_size=4), step=st.integers(1, 400))
def test_any_deaths_and_block_sizes_give_the_array_and_its_digest(name, deaths, step, tmp_path_factory):
    folder, array, storage = tmp_path_factory.mktemp("draft"), numbers(), storage_named(name)
    for death in [*deaths, len(array)]:
        writer = begin(storage, folder)
        assert writer.done % 120 == 0 or writer.done == len(array)
        for start in range(writer.done, death, step):
            writer.append(array[start : min(start + step, death)])
    assert writer.close() == digest_of(array)
    np.testing.assert_array_equal(open_arrays(folder / "arrays")["group/a"][:], array)


@pytest.mark.parametrize("name", ["zarr", "bin"])
def test_a_holder_that_lost_its_lease_cannot_write_into_the_resumed_array(name, tmp_path):
    array, storage = numbers(), storage_named(name)
    lost = begin(storage, tmp_path / "draft")
    lost.append(array[:500])
    (tmp_path / "draft").rename(tmp_path / "taken")
    resumed = begin(storage, tmp_path / "taken")
    with contextlib.suppress(OSError):  # its folder is gone: bin fails, zarr makes a folder that nobody reads
        lost.append(np.full((500, 3), 7, DTYPE))
    resumed.append(array[resumed.done :])
    assert resumed.close() == digest_of(array)
    np.testing.assert_array_equal(open_arrays(tmp_path / "taken" / "arrays")["group/a"][:], array)


def test_missing_rows_and_other_types_are_refused(tmp_path):
    writer = begin(storage_named("bin"), tmp_path / "draft")
    with pytest.raises(ValueError, match="takes float32"):
        writer.append(numbers().astype(np.float64))
    writer.append(numbers()[:130])
    with pytest.raises(ValueError, match="has 130 of 1000 rows"):
        writer.close()
