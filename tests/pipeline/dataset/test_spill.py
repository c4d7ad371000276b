"""Spilled episodes: whole files, taken in order, never used where they are torn."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.spill import intact, load_episode, save_episode, spill_path
from pipeline.dataset.writer import DatasetWriter
from pipeline.digest import combine
from pipeline.errors import DamagedArtifact
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode
from tests.pipeline.dataset.made import PART, made


def test_spilled_episodes_are_taken_in_index_order(tmp_path):
    episodes = made(3)
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), PART)
    save_episode(spill_path(writer.spill, 1), episodes[1])
    assert not writer.append_spilled()
    save_episode(spill_path(writer.spill, 0), episodes[0])
    assert writer.append_spilled()
    assert writer.append_spilled()
    assert not writer.append_spilled()
    assert EpisodeDataset(tmp_path, writer.finish()).digest() == combine(e.digest() for e in episodes[:2])


def test_a_torn_spill_is_removed_and_a_changed_one_is_never_used(tmp_path, rng):
    path = tmp_path / "00000000.safetensors"
    save_episode(path, made_episode(rng, 5))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert not intact(path)
    assert not path.exists()
    arrays = load_file(_saved(path, made_episode(rng, 5)))
    arrays["steps/reward"] = arrays["steps/reward"] + np.eye(1, 6)[0]
    save_file(arrays, path)
    with pytest.raises(DamagedArtifact, match="does not match its digest"):
        load_episode(path)


def _saved(path, episode):
    save_episode(path, episode)
    return path
