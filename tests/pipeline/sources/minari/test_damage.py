"""Damaged and hostile Minari sets end in an error that says what is wrong and where."""

import json
import re

import h5py
import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.formats.minari.format import MinariFormat
from pipeline.sources.minari.source import MinariSource
from tests.minari_files import PICTURE, arrays, jpegs, write_hdf5, write_tables


def refused(folder, words, **settings):
    source = MinariSource(str(folder), **settings)
    with pytest.raises(InvalidInput, match=re.compile(words, re.DOTALL)):
        source.identity("toy", "corner")
        source.count("toy", "corner")
        list(source.episodes("toy", "corner"))


def test_a_file_that_is_cut_is_refused(tmp_path):
    write_hdf5(tmp_path, [arrays(50)])
    path = tmp_path / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:-3000])
    refused(tmp_path, "main_data.hdf5 cannot be read: .*truncated.*download it again")


@pytest.mark.parametrize("write", [write_hdf5, write_tables])
@pytest.mark.parametrize("changed", [{"total_steps": 9}, {"total_episodes": 3}])
def test_totals_that_disagree_with_the_data_are_refused(tmp_path, write, changed):
    write(tmp_path, [arrays(3), arrays(4)], **changed)
    ((name, value),) = changed.items()
    refused(tmp_path, f"says {name} {value}; .* has {7 if name == 'total_steps' else 2}")


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "truncations"])
def test_a_missing_array_is_named(tmp_path, name):
    episode = arrays(3)
    rewards = episode["rewards"]
    del episode[name]
    if name == "rewards":
        write_hdf5(tmp_path, [arrays(3)])
        with h5py.File(tmp_path / "data" / "main_data.hdf5", "a") as file:
            del file["episode_0/rewards"]
    else:
        write_hdf5(tmp_path, [{**episode, "rewards": rewards}])
    refused(tmp_path, f"main_data.hdf5.*{name}")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"observations": np.zeros((3, 3), np.float32)}, "observations must have 4 rows.* has 3"),
        ({"observations": np.zeros((4, 2), np.float32)}, r"rows of shape \[2\]; its space says \[3\]"),
        ({"observations": np.full((4, 3), np.nan, np.float32)}, "episode_0: observation holds NaN"),
        ({"rewards": np.full(3, np.nan)}, "reward holds NaN"),
        ({"rewards": np.zeros((3, 2))}, "one number a step"),
        ({"actions": np.zeros(5, int)}, "actions must be 3 actions"),
        ({"terminations": np.zeros(2, bool)}, "terminations must be 3 flags"),
        ({"truncations": np.array([0, 0, np.nan])}, "episode_0: truncations should be 0 or 1; it is nan at row 2"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changed, words):
    write_hdf5(tmp_path, [{**arrays(3), **changed}])
    refused(tmp_path, words)


def test_a_jpeg_of_another_shape_is_refused(tmp_path):
    episode = arrays(1)
    rows = jpegs(np.zeros((2, 64, 40, 3), np.uint8))
    episode["observations"] = np.stack(rows)
    write_hdf5(tmp_path, [episode], observation_space=json.dumps(PICTURE))
    refused(tmp_path, r"row 0 is a picture of shape \[64, 40, 3\]; its space says \[32, 40, 3\]")


def test_a_picture_that_is_no_jpeg_is_named(tmp_path):
    first, second = jpegs(np.zeros((2, 32, 40, 3), np.uint8))
    rows = np.stack([first, np.zeros_like(second)])
    write_hdf5(tmp_path, [{**arrays(1), "observations": rows}], observation_space=json.dumps(PICTURE))
    refused(tmp_path, r"row 1 is no JPEG\. It is damaged")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"data_format": "lance"}, "data_format.*lance.*hdf5"),
        ({"observation_space": '{"type": "Ball"}'}, "observation_space is no space as Minari writes them"),
        ({"observation_space": "{"}, "observation_space is no space"),
        ({"repertoire": {"arrays": 3}}, "metadata.json: repertoire cannot be read"),
    ],
)
def test_metadata_that_say_something_else_are_refused(tmp_path, changed, words):
    write_hdf5(tmp_path, [arrays(3)], **changed)
    refused(tmp_path, words)


def test_numbers_in_another_file_are_not_read(tmp_path):
    write_hdf5(tmp_path / "other", [arrays(3)])
    other = tmp_path / "other" / "data" / "main_data.hdf5"
    for way in ("link", "virtual", "external"):
        episode = arrays(3)
        del episode["observations"]
        write_hdf5(tmp_path / way, [episode])
        with h5py.File(tmp_path / way / "data" / "main_data.hdf5", "a") as file:
            group = file["episode_0"]
            if way == "link":
                group["observations"] = h5py.ExternalLink(str(other), "episode_0/observations")
            elif way == "virtual":
                layout = h5py.VirtualLayout((4, 3), np.float32)
                layout[:] = h5py.VirtualSource(str(other), "episode_0/observations", (4, 3))
                group.create_virtual_dataset("observations", layout)
            else:
                group.create_dataset("observations", (4, 3), np.float32, external=[(str(other), 0, 48)])
        refused(tmp_path / way, "another file")


def test_an_array_that_is_larger_than_its_file_is_refused(tmp_path):
    episode = arrays(3)
    del episode["observations"]
    write_hdf5(tmp_path, [episode])
    with h5py.File(tmp_path / "data" / "main_data.hdf5", "a") as file:
        file["episode_0"].create_dataset("observations", (4, 10**12), np.float32, chunks=(1, 1024))
    refused(tmp_path, "should be 16,000,000,000,000 bytes, 0 are stored")


@pytest.mark.parametrize("name", ["../a-v0", "a/../b-v0", "/etc/a-v0", "a//b-v0", "aa/b", "aa/data/b-v0", "a/b-v0"])
def test_an_id_that_leads_elsewhere_or_is_none_is_refused(tmp_path, name):
    refused(tmp_path, "is no id of a Minari dataset", id=name)
    with pytest.raises(InvalidInput, match="is no id of a Minari dataset"):
        MinariFormat(id=name)


def test_a_root_without_a_dataset_says_what_is_wanted(tmp_path):
    refused(tmp_path, "there is no dataset. Wanted: a Minari dataset")
    write_hdf5(tmp_path / "toys" / "one-v0", [arrays(3)])
    refused(tmp_path, "has no dataset toys/two-v0. It has toys/one-v0", id="toys/two-v0")


@pytest.mark.parametrize(
    ("target", "words"), [("/dev/zero", "must be a file; a device"), ("nowhere", "that is not there")]
)
def test_what_is_no_file_is_not_read(tmp_path, target, words):
    write_hdf5(tmp_path, [arrays(3)])
    (tmp_path / "data" / "more").symlink_to(target)
    refused(tmp_path, words)
