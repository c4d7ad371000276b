"""LRAM's folders, written as its own scripts write them, come in as they say they are."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.sources.lram.source import LramSource
from tests.contracts.source import SourceContract

LENGTHS = (3, 1, 5)


def made(number: int, length: int) -> dict[str, np.ndarray]:
    """The arrays of an episode as LRAM's download script makes them."""
    rng = np.random.default_rng(number)
    rewards = rng.integers(-1, 2, length).astype(np.float32)
    return {
        "states": rng.integers(0, 256, (length, 1, 84, 84), dtype=np.uint8),
        "actions": rng.integers(0, 6, length, dtype=np.int32),
        "rewards": rewards,
        "dones": np.float32(1.0),
        "returns_to_go": np.cumsum(rewards[::-1])[::-1].astype(np.float32),
    }


def write_file(path: Path, arrays: dict[str, np.ndarray]) -> None:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(arrays))
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                options = {"compression": "gzip", "compression_opts": 1} if np.ndim(array) else {}
                file.create_dataset(name, data=array, **options)


def write_game(folder: Path, suffix: str = ".hdf5") -> Path:
    """A game's folder with three episodes."""
    folder.mkdir(parents=True)
    for number, length in enumerate(LENGTHS):
        write_file(folder / f"{number:09}{suffix}", made(number, length))
    (folder / "episode_lengths.json").write_text(json.dumps({f"{n:09}": each for n, each in enumerate(LENGTHS)}))
    (folder / "stats.json").write_text(json.dumps({"slices": 1, "episodes": 3, "transitions": 9}))
    return folder


class TestLram(SourceContract):
    domain, task = "atari", "bankheist"

    def write(self, folder: Path) -> None:
        write_game(folder / "atari" / "bank-heist")

    def source(self, folder: Path) -> LramSource:
        return LramSource(str(folder))

    def test_a_task_that_is_not_there_is_named(self, folder: Path):
        with pytest.raises(InvalidInput, match="bank-heist"):
            self.source(folder).identity(self.domain, "pong")


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".pkl"])
def test_episodes_are_what_the_files_hold(tmp_path, suffix):
    write_game(tmp_path / "pong", suffix)
    source = LramSource(str(tmp_path / "pong"), trust=suffix == ".pkl")
    for number, episode in enumerate(source.episodes("atari", "any-name")):
        arrays = made(number, LENGTHS[number])
        np.testing.assert_array_equal(episode.steps["observation"][:-1], arrays["states"][:, 0])
        np.testing.assert_array_equal(episode.steps["action"][:-1], arrays["actions"])
        np.testing.assert_array_equal(episode.steps["reward"][:-1], arrays["rewards"])
        assert episode.steps["action"].dtype == np.int32
        assert (episode.terminated, episode.truncated, episode.end_reason) == (True, False, "terminated")
        assert episode.steps["discount"].tolist() == [*[1.0] * (LENGTHS[number] - 1), 0.0, 0.0]
        assert not episode.has_final_observation
    assert number == 2
    assert not list(source.quirks("atari", "any-name"))


def test_a_pickle_is_not_read_without_trust(tmp_path):
    write_game(tmp_path / "pong", ".pkl")
    with pytest.raises(InvalidInput, match="trust=true"):
        list(LramSource(str(tmp_path)).episodes("atari", "pong"))
