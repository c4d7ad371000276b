"""Pictures some episodes at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.frames import store
from pipeline.frames.store import FRAMES, Frames


@pytest.fixture
def frames(drawn: Path) -> Frames:
    (artifact,) = Workspace(str(drawn)).of_kind("toy", "corner", FRAMES)
    return Frames(artifact)


@pytest.mark.parametrize(("size", "rows"), [(2**24, 2**17), (1, 2**17), (2**24, 1), (4000, 9), (6000, 12)])
def test_blocks_hold_every_picture_once(size: int, rows: int, frames: Frames, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "BLOCK_BYTES", size)
    monkeypatch.setattr(store, "BLOCK_ROWS", rows)
    for start, stop in ((0, 4), (1, 3), (3, 4), (2, 2)):
        blocks = list(frames.between(start, stop))
        assert [number for block in blocks for number in block.numbers] == list(range(start, stop))
        found = [each for block in blocks for each in block.episodes()]
        for number, each in zip(range(start, stop), found, strict=True):
            alone = frames[number]
            assert each.digest == alone.digest
            assert [each[row] for row in range(len(each))] == [alone[row] for row in range(len(alone))]
            np.testing.assert_array_equal(each.ends, alone.ends)
        assert size > 1 or all(len(block.numbers) == 1 for block in blocks)
    assert frames.sizes(3).tolist() == [len(frames[number].png) for number in range(3)]


def test_episodes_that_are_not_there_are_named(frames: Frames):
    with pytest.raises(IndexError, match="episodes 2 to 5 of"):
        list(frames.between(2, 5))
