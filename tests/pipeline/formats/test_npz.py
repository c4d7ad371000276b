"""An .npz that grows, or is written at once: NumPy reads what was given, and equal arrays give equal bytes."""

import zipfile

import numpy as np
import pytest

from pipeline.formats.npz import ALIGNMENT, NpzArray, NpzWriter, write_npz
from pipeline.sources.npz import NpzReader

ARRAYS = {
    "a": np.arange(600_000, dtype=np.int32).reshape(-1, 3),
    "deep/é": np.arange(5) % 2 == 0,
    "nothing": np.zeros((4, 0), np.float16),
}


def written(path, compressed, rows=7):
    with NpzWriter(path, {name: NpzArray(a.dtype, a.shape) for name, a in ARRAYS.items()}, compressed) as file:
        for start in range(0, 200_000, 200_000 // rows + 1):
            for name, array in ARRAYS.items():
                file.append(name, array[start : start + 200_000 // rows + 1])
        for each in range(3):
            file.grow("growing", np.full(each, each, np.int16))
        file.add_file("facts.json", b"{}")
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_numpy_and_our_own_reader_find_what_was_appended(tmp_path, compressed):
    path = written(tmp_path / "a.npz", compressed)
    with np.load(path) as file, NpzReader(path) as ours:
        assert file.files == [*ARRAYS, "growing", "facts.json"]
        assert file["growing"].tolist() == [1, 2, 2]
        assert file["facts.json"] == ours.file("facts.json") == b"{}"
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file[name], array)
            np.testing.assert_array_equal(ours[name].all(), array)
        rows = ours["a"]
        rows.skip(199_990)
        np.testing.assert_array_equal(rows.read(10), ARRAYS["a"][-10:])
    assert zipfile.ZipFile(path).testzip() is None
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("compressed", [False, True])
def test_its_bytes_are_the_same_however_rows_come(tmp_path, compressed):
    one, other = written(tmp_path / "a.npz", compressed), written(tmp_path / "b.npz", compressed, 3)
    assert one.read_bytes() == other.read_bytes()


def test_arrays_that_are_not_compressed_can_be_mapped_into_memory(tmp_path):
    path = written(tmp_path / "a.npz", False)
    at = path.read_bytes().index(ARRAYS["a"][:100].tobytes())
    assert at % ALIGNMENT == 0
    np.testing.assert_array_equal(np.memmap(path, np.int32, "r", at, (200_000, 3)), ARRAYS["a"])


def of_all_kinds():
    """Arrays by name: of each stored dtype, with and without rows, and a number."""
    whole = {
        f"{name}": np.arange(12).astype(name).reshape(3, 4) for name in ("?", "u1", "<i4", "<i8", "<f2", "<f4", "<f8")
    }
    return whole | {"none": np.zeros((0, 3), np.float32), "number": np.float32(1)[()], "é": np.ones(1, np.int16)}


def test_arrays_that_are_there_are_written_as_numpy_writes_them_to_the_byte(tmp_path):
    arrays = {name: np.asarray(array) for name, array in of_all_kinds().items()}
    with (tmp_path / "numpy.npz").open("wb") as file:
        np.savez(file, **arrays)
    write_npz(tmp_path / "ours.npz", arrays, compressed=False)
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()


def test_compressed_arrays_are_what_numpy_reads(tmp_path):
    arrays = {name: np.asarray(array) for name, array in (of_all_kinds() | ARRAYS).items()}
    write_npz(tmp_path / "a.npz", arrays, compressed=True)
    assert zipfile.ZipFile(tmp_path / "a.npz").testzip() is None
    with np.load(tmp_path / "a.npz") as file:
        assert file.files == [*arrays]
        for name, array in arrays.items():
            assert (file[name].dtype, file[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(file[name], array)
    assert (tmp_path / "a.npz").stat().st_size < ARRAYS["a"].nbytes
