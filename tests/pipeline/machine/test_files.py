"""Files that are whole or absent."""

import numpy as np
import pytest

from pipeline.dataset.spill import load_episode, save_episode
from pipeline.interfaces import Transition
from pipeline.machine.files import write_spilled
from pipeline.rollout.builder import EpisodeBuilder

safetensors = pytest.importorskip("safetensors.numpy")


def test_arrays_come_back_however_they_lie_in_memory(tmp_path):
    grid = np.arange(24.0).reshape(2, 3, 4)
    arrays = {
        "plain": grid,
        "transposed": grid.T,
        "fortran": np.asfortranarray(grid),
        "every second": grid[:, :, ::2],
        "backwards": grid[::-1],
        "one number again and again": np.broadcast_to(np.float32(3), (2, 2)),
        "a number": np.asarray(5),
    }
    write_spilled(tmp_path / "spilled.safetensors", arrays)
    back = safetensors.load_file(tmp_path / "spilled.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].shape == array.shape


def test_an_episode_of_transposed_observations_is_kept(tmp_path):
    """As dm_control's manipulator shows its arm: (8, 2), columns first."""
    building = EpisodeBuilder(np.arange(16.0).reshape(2, 8).T)
    for step in range(3):
        building.add(np.zeros(1), Transition(np.arange(16.0).reshape(2, 8).T + step, 1.0))
    episode = building.build()
    save_episode(tmp_path / "0.safetensors", episode)
    np.testing.assert_array_equal(
        load_episode(tmp_path / "0.safetensors").steps["observation"], episode.steps["observation"]
    )
