"""What units are measured with is read by the project's own doors, as the foreign data that it stands for."""

import numpy as np
import pytest

from benchmarks.scaling.inputs import checkpoints, jat_screens, jat_vectors
from pipeline.dataset.amount import Amount, Size
from pipeline.sources.dqn_replay.source import DqnReplaySource
from pipeline.sources.jat.source import JatSource
from pipeline.storage.choice import storage_named


@pytest.fixture(scope="module")
def log():
    """64 frames in episodes of 32, as `benchmarks.dqn_replay.play` gives them."""
    rng = np.random.default_rng(0)
    return {
        "observation": rng.integers(1, 256, (64, 84, 84), dtype=np.uint8),
        "action": rng.integers(0, 9, 64).astype(np.int32),
        "reward": np.ones(64, np.float32),
        "terminal": (np.arange(64) % 32 == 31).astype(np.uint8),
    }


def test_checkpoints_are_read_as_one_run_of_whole_episodes(tmp_path, log):
    size = checkpoints(tmp_path / "bucket", log, 64, 3)
    files = list((tmp_path / "bucket/Enduro/1/replay_logs").iterdir())
    assert size * 3 == pytest.approx(sum(path.stat().st_size for path in files), abs=30)
    lengths = [
        length
        for part in DqnReplaySource(root=str(tmp_path / "bucket")).parts(
            "atari", "enduro", tmp_path / "scratch", storage_named("zarr"), Size(), Amount(), 1
        )
        for length in part.lengths
    ]
    assert lengths == [32] * 5  # the end of the sixth would be in a fourth checkpoint


def test_jats_tables_give_the_episodes_that_were_put_in(tmp_path, log):
    jat_vectors(tmp_path, 3)
    jat_screens(tmp_path, 2, log)
    vectors = list(JatSource(path=str(tmp_path)).episodes("metaworld", "assembly"))
    assert [len(each.steps["action"]) - 1 for each in vectors] == [100] * 3
    (screens,) = JatSource(path=str(tmp_path)).episodes("atari", "enduro")
    assert np.array_equal(screens.steps["observation"][:64], log["observation"])
