"""Minari sets of others come in: each layout, what is odd, and where a set lies."""

import json
from typing import ClassVar

import h5py
import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.sources.minari.source import MinariSource
from tests.contracts.source import NamingSourceContract
from tests.minari_files import BOX, CHOICE, arrays, write_hdf5, write_pictures, write_tables
from tests.named import edited_json, name_in_hdf5

LENGTHS = (4, 1, 6)


class TestHdf5(NamingSourceContract):
    any_task = True
    arrays_named: ClassVar = {
        "info": lambda folder, name: name_in_hdf5(folder / "data/main_data.hdf5", 4, name, "episode_0/infos"),
        "dataset_id": lambda folder, name: edited_json(
            folder / "data/metadata.json", lambda facts: facts.update(dataset_id=name)
        ),
    }

    def write(self, folder):
        write_hdf5(folder, [arrays(length, seed) for seed, length in enumerate(LENGTHS)])

    def source(self, folder):
        return MinariSource(str(folder))


class TestArrow(TestHdf5):
    arrays_named: ClassVar = {"dataset_id": TestHdf5.arrays_named["dataset_id"]}

    def write(self, folder):
        write_tables(folder, [arrays(length, seed) for seed, length in enumerate(LENGTHS)])


def read(folder, **settings):
    return list(MinariSource(str(folder), **settings).episodes("toy", "corner"))


def quirks(folder):
    source = MinariSource(str(folder))
    list(source.episodes("toy", "corner"))
    return {quirk.name: quirk.count for quirk in source.quirks("toy", "corner")}


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_each_layout_gives_the_arrays_as_they_are(tmp_path, data_format):
    made = [arrays(length, seed) for seed, length in enumerate(LENGTHS)]
    if data_format == "hdf5":
        write_hdf5(tmp_path, made, attributes={"seed": 7})
    else:
        write_tables(tmp_path, made, data_format)
    for episode, expected in zip(read(tmp_path), made, strict=True):
        np.testing.assert_array_equal(episode.steps["observation"], expected["observations"])
        np.testing.assert_array_equal(episode.steps["action"][:-1], expected["actions"])
        np.testing.assert_array_equal(episode.steps["reward"][:-1], expected["rewards"])
        np.testing.assert_array_equal(episode.steps["info/speed"][:-1], expected["infos/speed"][1:])
        assert episode.reset_info["speed"] == expected["infos/speed"][0]
        assert episode.seed == 7
        assert (episode.terminated, episode.truncated) == (expected["terminations"][-1], expected["truncations"][-1])
        assert episode.end_reason == ("terminated" if episode.terminated else "time_limit")
        assert episode.steps["discount"][-2] == (not episode.terminated)


def test_jpegs_are_decoded_and_marked_as_lossy(tmp_path):
    write_pictures(tmp_path, [3, 2])
    source = MinariSource(str(tmp_path))
    assert source.identity("toy", "corner")["jpeg"]
    for episode in source.episodes("toy", "corner"):
        assert episode.steps["observation"].shape[1:] == (32, 40, 3)
        assert episode.steps["observation"].std() > 10
    assert quirks(tmp_path) == {"lossy_pictures": 7}


def test_tuples_texts_and_parts_of_actions_find_their_places(tmp_path):
    made = arrays(4)
    observations = made.pop("observations")
    made |= {"observations/pair/_index_0": observations, "observations/pair/_index_1": np.arange(5)}
    made["observations/mission"] = np.array([b"find it"] * 5, dtype=h5py.string_dtype())
    made["infos/door"] = np.array([b"shut", b"shut", b"open", b"open", b"shut"], dtype=h5py.string_dtype())
    made["actions/arm"], made["actions/a grip"] = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
    del made["actions"]
    pair = {"type": "Tuple", "subspaces": [BOX, CHOICE]}
    arm, grip = ({**BOX, "shape": [size], "low": [0] * size, "high": [1] * size} for size in (2, 1))
    text = {"type": "Text", "max_length": 9, "min_length": 0, "charset": "abc"}
    write_hdf5(
        tmp_path, [made], attributes={"options/level": 3, "options/side": "left", "rewards_sum": 1.5},
        observation_space=json.dumps({"type": "Dict", "subspaces": {"pair": pair, "mission": text}}),
        action_space=json.dumps({"type": "Dict", "subspaces": {"arm": arm, "a grip": grip}}),
    )  # fmt: skip
    (episode,) = read(tmp_path)
    np.testing.assert_array_equal(episode.steps["observation/pair/0"], observations)
    assert episode.steps["observation/pair/1"].tolist() == [0, 1, 2, 3, 4]
    assert episode.mission == "find it"
    assert episode.steps["action"][:-1].tolist() == [[1, 1, 0]] * 4
    assert episode.info_texts["door"] == ["shut", "open", "open", "shut"]
    assert episode.reset_texts == {"door": "shut", "options/side": "left"}
    assert episode.reset_info["options/level"] == 3
    assert episode.reset_info["metadata/rewards_sum"] == 1.5
    assert quirks(tmp_path) == {"joined_actions": 1}


def test_what_is_odd_is_counted(tmp_path):
    made = [arrays(length, seed) for seed, length in enumerate((3, 0, 2))]
    made[0]["infos/other"] = np.zeros(9)
    made[2]["terminations"] = np.array([True, False])
    write_hdf5(tmp_path, made, ids=[0, 2, 5], attributes={"seed": -4})
    assert quirks(tmp_path) == {
        "other_ids": 1, "empty_episodes": 1, "unread_arrays": 1, "ends_inside": 1, "other_seeds": 2,
    }  # fmt: skip
    assert MinariSource(str(tmp_path)).count("toy", "corner") == 2


def test_spaces_may_be_missing(tmp_path):
    write_hdf5(tmp_path, [arrays(3)], observation_space=None, action_space=None)
    assert read(tmp_path)[0].steps["observation"].shape == (4, 3)


def test_a_set_is_found_by_any_folder_that_leads_to_it(tmp_path):
    for name in ("toy/corner/one-v0", "toy/maze/two-v0", "toy/maze/three-v0"):
        write_hdf5(tmp_path / name, [arrays(3)], dataset_id=name)
    expected = [episode.digest() for episode in read(tmp_path / "toy/corner/one-v0")]
    for folder, settings in (
        (tmp_path / "toy/corner/one-v0/data", {}),
        (tmp_path, {"id": "toy/maze/two-v0"}),
        (tmp_path, {}),
        (tmp_path / "toy/corner", {}),
    ):
        assert [episode.digest() for episode in read(folder, **settings)] == expected
    with pytest.raises(InvalidInput, match=r"(?s)3 datasets: toy/maze/three-v0, toy/maze/two-v0.*source.id="):
        MinariSource(str(tmp_path)).identity("toy", "maze")
