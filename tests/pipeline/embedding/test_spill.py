"""Kept blocks: found from any of their rows on, gone once they are durable elsewhere, never trusted when torn."""

import numpy as np

from pipeline.embedding.spill import Spill


def rows(count, start=0):
    return np.arange(start * 3, (start + count) * 3, dtype=np.float32).reshape(count, 3)


def test_rows_come_back_from_any_position(tmp_path):
    spill = Spill(tmp_path / "s")
    spill.save(0, rows(4))
    spill.save(4, rows(3, 4))
    again = Spill(tmp_path / "s")
    np.testing.assert_array_equal(again.load(0, 3), rows(4))
    np.testing.assert_array_equal(again.load(2, 3), rows(2, 2))
    np.testing.assert_array_equal(again.load(4, 3), rows(3, 4))
    assert again.load(7, 3) is None


def test_durable_rows_are_dropped_and_no_others(tmp_path):
    spill = Spill(tmp_path / "s")
    spill.save(0, rows(4))
    spill.save(4, rows(3, 4))
    spill.drop(5)
    assert spill.load(0, 3) is None
    assert spill.load(5, 3) is not None


def test_a_torn_file_is_as_if_it_were_not_there(tmp_path):
    spill = Spill(tmp_path / "s")
    spill.save(0, rows(4))
    (path,) = (tmp_path / "s").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert spill.load(0, 3) is None
    spill.save(0, rows(4))
    assert spill.load(0, 4) is None
