"""Arrays that are appended to: what does not fit is refused. Deaths and resuming: `tests/contracts/storage.py`."""

import numpy as np
import pytest

from pipeline.storage.bin import BinStorage
from pipeline.storage.resumable import PROGRESS, ArrayWriter

ROWS = np.zeros((1000, 3), np.float32)


def test_missing_rows_and_other_types_are_refused(tmp_path):
    storage = BinStorage()
    storage.create_folder(tmp_path / "arrays")
    writer = ArrayWriter(storage, tmp_path / "arrays", tmp_path / PROGRESS, "a", ROWS.shape, ROWS.dtype)
    with pytest.raises(ValueError, match="takes float32"):
        writer.append(ROWS.astype(np.float64))
    with pytest.raises(ValueError, match=r"takes float32 \(3,\)"):
        writer.append(ROWS[:, :2])
    writer.append(ROWS[:130])
    with pytest.raises(ValueError, match="has 130 of 1000 rows"):
        writer.close()
