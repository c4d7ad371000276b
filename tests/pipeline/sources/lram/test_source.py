"""LRAM's folders, written as its own scripts write them, come in as they say they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest

from pipeline.episode import Episode
from pipeline.errors import InvalidInput, PipelineError
from pipeline.sources.lram.source import LramSource
from tests.contracts.source import NamingSourceContract
from tests.lram_files import LENGTHS, made, write_file, write_game
from tests.named import edited_json, name_in_hdf5


class TestLram(NamingSourceContract):
    domain, task = "atari", "bankheist"
    files_named: ClassVar = {
        "lengths": lambda folder, name: edited_json(
            folder / "atari/bank-heist/episode_lengths.json", lambda lengths: lengths.update({name: 3})
        )
    }
    arrays_named: ClassVar = {
        "dataset": lambda folder, name: name_in_hdf5(folder / "atari/bank-heist/000000000.hdf5", 2, name)
    }

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


def one(folder: Path, suffix: str = ".hdf5", **changed: object) -> LramSource:
    """A source of one episode of which some arrays are others; None: it is not there."""
    folder.mkdir(exist_ok=True)
    arrays = {name: array for name, array in (made(0, 4) | changed).items() if array is not None}
    write_file(folder / f"000000000{suffix}", arrays)
    return LramSource(str(folder), trust=True)


def read(source: LramSource) -> Episode:
    (episode,) = source.episodes("atari", "pong")
    return episode


def names_of_quirks(source: LramSource) -> list[str]:
    read(source)
    return [quirk.name for quirk in source.quirks("atari", "pong")]


def test_a_folder_without_json_files_is_read_as_it_is(tmp_path):
    episode = read(one(tmp_path / "pong", dones=np.float32(0)))
    assert (episode.terminated, episode.end_reason, episode.seed) == (False, "source", -1)
    assert dict(LramSource(str(tmp_path / "pong")).identity("atari", "pong")).keys() == {
        *("source", "files", "bytes", "digest"),
    }


def test_episodes_come_in_the_order_of_their_trajectories(tmp_path):
    folder = write_game(tmp_path / "pong")
    (folder / "episode_trjids.json").write_text(json.dumps({"000000000": 2, "000000001": 7, "000000002": 1}))
    (folder / "episode_seeds.json").write_text(json.dumps({"000000000": 20, "000000002": 10}))
    episodes = list(LramSource(str(folder)).episodes("atari", "pong"))
    assert [episode.length for episode in episodes] == [LENGTHS[2], LENGTHS[0], LENGTHS[1]]
    assert [episode.seed for episode in episodes] == [10, 20, -1]


@pytest.mark.parametrize(
    ("changed", "quirk"),
    [
        ({"dones": None}, "no_terminals"),
        ({"dones": np.array([0, 1, 0, 1], np.float32)}, "ends_inside"),
        ({"next_states": np.zeros(4)}, "unread_arrays"),
        ({"returns_to_go": np.zeros(4, np.float32), "rewards": np.ones(4, np.float32)}, "wrong_returns_to_go"),
    ],
)
def test_what_is_odd_is_counted(tmp_path, changed, quirk):
    assert names_of_quirks(one(tmp_path, **changed)) == [quirk]


def test_a_length_that_the_table_does_not_give_is_counted(tmp_path):
    source = one(tmp_path)
    (tmp_path / "episode_lengths.json").write_text('{"000000000": 9}')
    assert names_of_quirks(source) == ["wrong_lengths"]


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".pkl"])
def test_a_flag_for_each_step_says_how_the_episode_ends(tmp_path, suffix):
    assert read(one(tmp_path, suffix, dones=np.array([0, 0, 0, 1], np.float32))).terminated
    assert not read(one(tmp_path, suffix, dones=np.array([1, 0, 0, 0], np.float32))).terminated


def test_pictures_with_colours_stay_as_they_are(tmp_path):
    states = np.zeros((4, 3, 64, 64), np.uint8)
    assert read(one(tmp_path, states=states)).steps["observation"].shape == (5, 3, 64, 64)


def test_numbers_of_another_machine_are_read(tmp_path):
    episode = read(one(tmp_path, states=np.arange(8, dtype=">f8").reshape(4, 2)))
    assert episode.steps["observation"].dtype.isnative
    assert episode.steps["observation"][:4].ravel().tolist() == list(range(8))


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".pkl"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"states": None}, r"000000000.*Missing: states"),
        ({"states": None, "states_encoded": np.zeros((4, 8))}, r"holds states_encoded.*encoded from"),
        ({"actions": np.zeros(3, np.int32)}, r"same number of steps.*actions 3"),
        ({"rewards": np.array([1, np.nan, 0, 0], np.float32)}, r"000000000.*NaN"),
        ({"rewards": np.zeros((4, 1), np.float32)}, r"a number a step"),
        ({"actions": np.zeros(4, complex)}, r"000000000.*complex"),
        ({"dones": np.float32("nan")}, r"000000000.*dones should be 0 or 1; it is nan"),
        (
            {"states": np.zeros((0, 3)), "actions": np.zeros(0), "rewards": np.zeros(0), "returns_to_go": None},
            "without a step",
        ),
    ],
)
def test_what_is_no_episode_is_named(tmp_path, suffix, changed, message):
    with pytest.raises(InvalidInput, match=message):
        read(one(tmp_path, suffix, **changed))


@pytest.mark.parametrize("suffix", [".hdf5", ".npz", ".pkl"])
def test_a_file_that_is_cut_off_is_named(tmp_path, suffix):
    source = one(tmp_path, suffix)
    path = tmp_path / f"000000000{suffix}"
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(InvalidInput, match=str(path)):
        read(source)


def test_python_objects_are_refused(tmp_path):
    source = one(tmp_path, ".npz", states=np.array([{}, {}, {}, {}], object))
    with pytest.raises(InvalidInput, match="Python objects"):
        read(source)


def test_an_array_that_lies_elsewhere_is_refused(tmp_path):
    source = one(tmp_path / "pong", states=None)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(32))
    path = tmp_path / "pong" / "000000000.hdf5"
    with h5py.File(path, "a") as file:
        file.create_dataset("states", (4, 1), np.float64, external=[(str(secret), 0, 32)])
    with pytest.raises(InvalidInput, match="states lies in other files"):
        read(source)
    with h5py.File(path, "a") as file:
        del file["states"]
        file["states"] = h5py.ExternalLink("../other.hdf5", "states")
    with pytest.raises(InvalidInput, match="states is a link"):
        read(source)


def test_a_zip_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path):
    with h5py.File(tmp_path / "000000000.hdf5", "w") as file:
        file.create_dataset("states", (2**20, 2**12), np.uint8, chunks=(64, 64))
    with pytest.raises(InvalidInput, match="should unpack"):
        read(LramSource(str(tmp_path)))


def test_episodes_that_are_listed_and_not_there_are_named(tmp_path):
    folder = write_game(tmp_path / "pong")
    (folder / "000000001.hdf5").unlink()
    with pytest.raises(InvalidInput, match=r"lists 1 episode that.*000000001"):
        list(LramSource(str(folder)).episodes("atari", "pong"))


@pytest.mark.parametrize("name", ["episode_lengths.json", "episode_trjids.json", "provenance.json"])
def test_a_table_that_is_none_is_named(tmp_path, name):
    source = one(tmp_path)
    for text in ("[1]", "{", '{"000000000": "x"}'):
        (tmp_path / name).write_text(text)
        if name != "episode_trjids.json" and text.startswith('{"'):
            continue
        with pytest.raises(PipelineError, match=name):
            read(source)


def test_a_folder_without_episodes_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="holds no episodes"):
        LramSource(str(tmp_path)).count("atari", "pong")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="is a file"):
        LramSource(str(tmp_path / "file")).count("atari", "pong")
