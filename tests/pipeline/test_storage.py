"""Arrays on disk: what was written comes back, from both storages and from zarr's own reader."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.errors import DamagedArtifact, UnknownName
from pipeline.storage.choice import open_arrays, storage_named
from pipeline.storage.contract import block_rows, write_arrays

DTYPES = st.sampled_from(["f4", "f8", "u1", "i4", "i8", "?"])
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=4, min_side=0, max_side=7)))


@pytest.mark.parametrize("name", ["zarr", "bin"])
@settings(max_examples=40)
@given(array=ARRAYS)
def test_every_array_comes_back_equal(name, array, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    write_arrays(storage_named(name), folder, {"group/a": array})
    back = open_arrays(folder)["group/a"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(np.asarray(back[:]), array)


def test_zarr_python_reads_what_we_write(tmp_path, rng):
    arrays = {
        "a": rng.normal(size=(70_000, 39)),
        "b/c": rng.integers(0, 255, (5, 3), np.uint8),
        "b/d": np.ones(4, bool),
    }
    write_arrays(storage_named("zarr"), tmp_path / "x", arrays)
    group = zarr.open_group(tmp_path / "x", mode="r")
    for name, array in arrays.items():
        np.testing.assert_array_equal(group[name][:], array)
    assert not list(tmp_path.rglob("*__lock*"))


@pytest.mark.parametrize("name", ["zarr", "bin"])
def test_slices_read_just_those_rows(name, tmp_path, rng):
    array = rng.normal(size=(50_000, 40))
    write_arrays(storage_named(name), tmp_path / "x", {"a": array})
    np.testing.assert_array_equal(open_arrays(tmp_path / "x")["a"][12_345:12_400], array[12_345:12_400])


def test_long_arrays_are_cut_into_shards_of_about_64_megabytes(tmp_path):
    array = np.zeros((300_000, 100), np.float32)
    array[::7] = 3
    write_arrays(storage_named("zarr"), tmp_path / "x", {"a": array})
    shards = [path for path in (tmp_path / "x" / "a" / "c").rglob("*") if path.is_file()]
    assert len(shards) == -(-300_000 // block_rows(array.shape, array.dtype)) == 2
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "x" / "a", mode="r")[299_990:], array[299_990:])


def test_a_truncated_bin_file_is_named(tmp_path):
    write_arrays(storage_named("bin"), tmp_path / "x", {"a": np.arange(10)})
    (tmp_path / "x" / "a.bin").write_bytes(b"12345")
    with pytest.raises(DamagedArtifact, match=r"a\.bin should hold .* 80 bytes, but it has 5 bytes"):
        open_arrays(tmp_path / "x")


@pytest.mark.parametrize(("rows", "chunk"), [(1000, "c.0.0"), (50_000, "c/0/0")])
@pytest.mark.parametrize("where", [0.3, 0.6, 0.999])
def test_a_changed_zarr_chunk_is_noticed_when_it_is_read(tmp_path, rng, rows, chunk, where):
    write_arrays(storage_named("zarr"), tmp_path / "x", {"a": rng.normal(size=(rows, 8))})
    file = tmp_path / "x" / "a" / chunk
    data = bytearray(file.read_bytes())
    data[int(where * len(data))] ^= 255
    file.write_bytes(bytes(data))
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        open_arrays(tmp_path / "x")["a"][:]


def test_small_arrays_are_one_file_beside_their_metadata(tmp_path, rng):
    write_arrays(storage_named("zarr"), tmp_path, {"a": rng.normal(size=(40, 3)), "b": np.zeros(0, np.int64)})
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["c.0.0", "zarr.json"]
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["zarr.json"]


def test_a_folder_that_is_no_storage_is_refused(tmp_path):
    with pytest.raises(DamagedArtifact, match=r"neither zarr\.json nor shapes\.json"):
        open_arrays(tmp_path)


def test_an_unknown_storage_lists_those_that_exist():
    with pytest.raises(UnknownName, match="bin, zarr"):
        storage_named("hdf5")
