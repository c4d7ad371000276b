import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.dataset.columns import RowSpec
from pipeline.errors import InvalidInput
from pipeline.formats import hdf5
from pipeline.formats.hdf5 import COMPRESSIONS, FileColumn, flag_column, write_hdf5
from pipeline.sources.hdf5 import Hdf5


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Chunks and windows of a few rows."""
    for name, size in (("CHUNK_BYTES", 512), ("WINDOW_BYTES", 4096), ("SYNC_BYTES", 8192)):
        monkeypatch.setattr(hdf5, name, size)


@pytest.fixture
def arrays(rng):
    return {
        "observation/a é": rng.normal(size=(500, 3)),
        "screens": np.kron(rng.integers(0, 9, (500, 2, 2), np.uint8), np.ones((1, 4, 4), np.uint8)),
        "noise": rng.integers(0, 256, (499, 9), np.uint8),
        "half": rng.normal(size=500).astype(np.float16),
        "nothing": np.zeros((500, 0)),
    }


def written(path: Path, arrays: dict[str, np.ndarray], compression: str, progress=lambda share: None) -> Path:
    def column(name):
        def read(start, stop):
            assert 0 <= start < stop <= len(arrays[name])
            return arrays[name][start:stop]

        return FileColumn(name, RowSpec.of(arrays[name]), len(arrays[name]), read)

    def beside(file):
        file["origin"] = np.bytes_('{"x": "é"}'.encode())
        file["free"] = '{"x": 1}'
        file.create_dataset("texts", data=["a", "é"], dtype=h5py.string_dtype())

    flags = flag_column("flags", 500, np.array([0, 70, 71, 499]))
    write_hdf5(path, [*map(column, arrays), flags], compression, beside, progress)
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_h5py_and_our_own_reader_find_the_arrays(tmp_path, arrays, compression):
    path = written(tmp_path / "a.hdf5", arrays, compression)
    flags = np.zeros(500, np.bool_)
    flags[[0, 70, 71, 499]] = True
    with h5py.File(path) as file, Hdf5(path) as ours:
        for name, array in (arrays | {"flags": flags}).items():
            assert file[name].dtype == array.dtype
            np.testing.assert_array_equal(file[name][:], array)
            for start, stop in ((0, None), (3, 5), (100, 400), (399, 401), (7, 7), (490, 600)):
                np.testing.assert_array_equal(ours.read(name, start, stop), array[start:stop])
        assert ours.json("origin") == {"x": "é"}
        assert ours.json("free") == ours.json("none") == ours.json("texts") == {}
        assert ours.texts("texts") == ["a", "é"]
    assert [each.name for each in tmp_path.iterdir()] == ["a.hdf5"]


def test_chunks_are_cut_along_time_alone_and_compressed_at_the_librarys_own_level(tmp_path, arrays):
    with h5py.File(written(tmp_path / "a.hdf5", arrays, "gzip")) as file:
        assert file["screens"].chunks == (8, 8, 8)
        assert (file["screens"].compression, file["screens"].compression_opts) == ("gzip", 4)
        assert file["screens"].id.get_storage_size() < arrays["screens"].nbytes / 2
        assert file["noise"].id.get_chunk_info(0).filter_mask == 1  # what does not get smaller is stored as it is


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("torn", [0, 100])
def test_a_killed_file_goes_on_where_it_was_and_has_the_same_bytes(tmp_path, arrays, compression, torn):
    whole = written(tmp_path / "whole.hdf5", arrays, compression).read_bytes()
    path, shares = tmp_path / "a.hdf5", []

    def interrupt(share):
        shares.append(share)
        if len(shares) in (3, 9):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            written(path, arrays, compression, interrupt)
        assert not path.exists()
        log = tmp_path / ".a.hdf5.chunks"
        if torn and log.exists():  # as a power cut leaves it
            os.truncate(log, log.stat().st_size - torn)
    read = {name: [] for name in arrays}

    class Counted(np.ndarray):
        def __getitem__(self, rows):
            read[self.name].append(rows)
            return np.asarray(super().__getitem__(rows))

    counted = {name: array.view(Counted) for name, array in arrays.items()}
    for name, array in counted.items():
        array.name = name
    written(path, counted, compression, shares.append)
    assert path.read_bytes() == whole
    assert min(rows.start for rows in read["screens"]) > 0  # what was finished is not read again
    assert shares[-1] == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.hdf5", "whole.hdf5"]


def test_a_log_of_other_columns_is_begun_again(tmp_path, arrays):
    path = tmp_path / "a.hdf5"

    def interrupt(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(path, arrays | {"half": arrays["half"].astype(np.float32)}, "gzip", interrupt)
    written(path, arrays, "gzip")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["half"][:], arrays["half"])


def test_a_damaged_chunk_is_an_error_and_no_number(tmp_path, arrays):
    path = written(tmp_path / "a.hdf5", arrays, "gzip")
    with h5py.File(path) as file:
        place = file["screens"].id.get_chunk_info(5).byte_offset
    with path.open("r+b") as file:
        file.seek(place + 20)
        file.write(b"\xff" * 8)
    with Hdf5(path) as ours:
        np.testing.assert_array_equal(ours.read("screens", 0, 40), arrays["screens"][:40])
        with pytest.raises(InvalidInput, match=r"The dataset screens of .*a\.hdf5 cannot be read"):
            ours.read("screens", 0, 48)


def test_a_text_that_is_said_to_be_longer_than_the_file_is_damage(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["texts"] = ["one", "two"]
        place = file["texts"].id.get_offset()
    with (tmp_path / "a.hdf5").open("r+b") as raw:
        raw.seek(place + 16)
        raw.write(np.uint32(2**30).tobytes())
    with Hdf5(tmp_path / "a.hdf5") as file:
        assert file.texts("texts", 0, 1) == ["one"]
        with pytest.raises(InvalidInput, match=r"The dataset texts.*should have 1,073,741,824 bytes"):
            file.texts("texts", 1)
