"""zarr: what zarr's own reader reads, in chunks that carry checksums."""

import numpy as np
import pytest
import tensorstore as ts
import zarr

import pipeline.storage.contract
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import read_json
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import block_rows, write_arrays
from pipeline.storage.zarr import ZarrStorage
from pipeline.storage.zarr import _metadata as zarr_metadata
from tests.contracts.storage import StorageContract
from tests.damage import flip_bit


class TestZarr(StorageContract):
    def storage(self):
        return ZarrStorage()


def test_zarr_python_reads_what_we_write(tmp_path, rng):
    arrays = {
        "a": rng.normal(size=(70_000, 39)),
        "b/c": rng.integers(0, 255, (5, 3), np.uint8),
        "b/d": np.ones(4, bool),
    }
    write_arrays(ZarrStorage(), tmp_path / "x", arrays)
    group = zarr.open_group(tmp_path / "x", mode="r")
    for name, array in arrays.items():
        np.testing.assert_array_equal(group[name][:], array)
    assert not list(tmp_path.rglob("*__lock*"))


def test_a_shard_holds_about_64_megabytes():
    assert pipeline.storage.contract.SHARD_BYTES == 64 * 2**20
    assert block_rows((300_000, 100), np.dtype(np.float32)) * 400 == pytest.approx(64 * 2**20, rel=0.01)


def test_long_arrays_are_cut_into_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline.storage.contract, "SHARD_BYTES", 2**20)
    array = np.zeros((5_000, 100), np.float32)
    array[::7] = 3
    write_arrays(ZarrStorage(), tmp_path / "x", {"a": array})
    shards = [path for path in (tmp_path / "x" / "a" / "c").rglob("*") if path.is_file()]
    assert len(shards) == -(-5_000 // block_rows(array.shape, array.dtype)) == 2
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "x" / "a", mode="r")[4_990:], array[4_990:])


@pytest.mark.parametrize(("rows", "chunk"), [(1000, "c.0.0"), (50_000, "c/0/0")])
@pytest.mark.parametrize("where", [0.3, 0.6, 0.999])
def test_a_changed_chunk_is_noticed_when_it_is_read(tmp_path, rng, rows, chunk, where):
    write_arrays(ZarrStorage(), tmp_path / "x", {"a": rng.normal(size=(rows, 8))})
    file = tmp_path / "x" / "a" / chunk
    flip_bit(file, where)
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        open_arrays(tmp_path / "x")["a"][:]


def test_a_changed_chunk_of_wide_integers_is_noticed_when_it_is_read(tmp_path, rng):
    numbers = rng.integers(0, 2**31 - 1, (50_000, 8), np.int32)
    write_arrays(ZarrStorage(), tmp_path / "x", {"a": numbers})
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "x", mode="r")["a"][:], numbers)
    file = tmp_path / "x" / "a" / "c" / "0" / "0"
    flip_bit(file)
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        open_arrays(tmp_path / "x")["a"][:]


def test_arrays_of_before_every_chunk_was_stored_are_read_as_they_were_meant(tmp_path):
    values = np.zeros((50_000, 8))
    values[:30_000] = 1
    metadata = zarr_metadata(values.shape, values.dtype)
    del metadata["attributes"]
    store = ts.open(
        {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{tmp_path}/x/a/"},
            "metadata": metadata,
        },
        create=True,
    ).result()
    store.write(values).result()
    ZarrStorage().create_folder(tmp_path / "x")
    np.testing.assert_array_equal(open_arrays(tmp_path / "x")["a"][:], values)


@pytest.mark.parametrize("text", ["[]", "1", '{"attributes": [], "node_type": "array"}', '{"node_type": 3}'])
def test_metadata_that_describe_no_array_are_damage(tmp_path, text):
    write_arrays(ZarrStorage(), tmp_path / "x", {"a": np.arange(3)})
    (tmp_path / "x" / "a" / "zarr.json").write_text(text)
    with pytest.raises(DamagedArtifact, match=str(tmp_path / "x" / "a")):
        open_arrays(tmp_path / "x")["a"]


def test_small_arrays_are_one_file_beside_their_metadata(tmp_path, rng):
    write_arrays(ZarrStorage(), tmp_path, {"a": rng.normal(size=(40, 3)), "b": np.zeros(0, np.int64)})
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["c.0.0", "zarr.json"]
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["zarr.json"]


@pytest.mark.parametrize("shape", [(1000, 8), (50_000, 8)])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_every_chunk_is_followed_by_its_crc(tmp_path, rng, shape, dtype):
    write_arrays(ZarrStorage(), tmp_path, {"a": rng.integers(0, 100, shape).astype(dtype)})
    codecs = read_json(tmp_path / "a" / "zarr.json")["codecs"]
    inner = codecs[0]["configuration"]["codecs"] if codecs[0]["name"] == "sharding_indexed" else codecs
    assert inner[-1] == {"name": "crc32c"}
    assert not inner[1]["configuration"].get("checksum")
