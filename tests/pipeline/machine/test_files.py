"""Files that are whole or absent."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.spill import load_bundle, save_episode
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.interfaces import Transition
from pipeline.machine.files import is_plain_file, read_json, write_file, write_json, write_spilled
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
    (found,) = load_bundle(tmp_path / "0.safetensors").episodes()
    np.testing.assert_array_equal(found.steps["observation"], episode.steps["observation"])


def test_what_is_no_file_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, kind in (("pipe", "named pipe"), ("folder", "folder"), ("device", "device")):
        with pytest.raises(InvalidInput, match=f"{name} must be a file; a {kind} is there"):
            is_plain_file(tmp_path / name)
    (tmp_path / "file").write_text("x")
    assert is_plain_file(tmp_path / "file")
    assert not is_plain_file(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5_000, '{"a": ', "\x00"])
def test_json_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DamagedArtifact, match=r"a\.json cannot be read as JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file of Linux on which no byte fits")
def test_json_may_hold_a_name_that_is_no_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "note.json", {"folder": name})
    assert read_json(tmp_path / "note.json") == {"folder": name}


def test_a_file_for_which_the_disk_has_no_room_is_named():
    with pytest.raises(OSError, match="/dev/full"):
        write_file(Path("/dev/full"), [b"some bytes"])
