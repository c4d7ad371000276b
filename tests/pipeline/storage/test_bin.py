"""bin: raw files whose sizes their shapes foretell."""

import numpy as np
import pytest

from pipeline.errors import DamagedArtifact
from pipeline.storage.bin import BinStorage
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import write_arrays
from tests.contracts.storage import StorageContract


class TestBin(StorageContract):
    def storage(self):
        return BinStorage()


def test_a_truncated_file_is_named_with_what_it_should_hold(tmp_path):
    write_arrays(BinStorage(), tmp_path / "x", {"a": np.arange(10)})
    (tmp_path / "x" / "a.bin").write_bytes(b"12345")
    with pytest.raises(DamagedArtifact, match=r"a\.bin should hold .* 80 bytes, but it has 5 bytes"):
        open_arrays(tmp_path / "x")


def test_rows_are_views_of_the_file(tmp_path):
    write_arrays(BinStorage(), tmp_path / "x", {"a": np.arange(10)})
    rows = open_arrays(tmp_path / "x")["a"][3:5]
    with (tmp_path / "x" / "a.bin").open("r+b") as file:
        file.write(np.arange(10, 20).tobytes())
    np.testing.assert_array_equal(rows, [13, 14])
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 7


@pytest.mark.parametrize(
    "entry",
    [
        *("[]", "3", '{"shape": [10]}', '{"shape": 10, "dtype": "<i8"}', '{"shape": [-1], "dtype": "<i8"}'),
        *('{"shape": [10], "dtype": "x"}', '{"shape": [true], "dtype": "<i8"}', '{"shape": [1e3], "dtype": "<i8"}'),
        *('{"shape": [10], "dtype": "O"}', '{"shape": [10], "dtype": "S8"}', '{"shape": [10], "dtype": null}'),
    ],
)
def test_shapes_that_describe_no_array_are_damage(tmp_path, entry):
    write_arrays(BinStorage(), tmp_path / "x", {"a": np.arange(10)})
    (tmp_path / "x" / "shapes.json").write_text(f'{{"a": {entry}}}')
    with pytest.raises(DamagedArtifact, match=r"shapes\.json does not describe arrays"):
        open_arrays(tmp_path / "x")


def test_a_shape_beyond_all_numbers_is_another_size_than_the_file_has(tmp_path):
    write_arrays(BinStorage(), tmp_path / "x", {"a": np.arange(10)})
    (tmp_path / "x" / "shapes.json").write_text('{"a": {"shape": [8589934592, 8589934592], "dtype": "<i8"}}')
    with pytest.raises(DamagedArtifact, match="but it has 80 bytes"):
        open_arrays(tmp_path / "x")
