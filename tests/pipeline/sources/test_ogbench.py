"""OGBench's own files, as `numpy.savez_compressed` writes them: where episodes end, and what is refused."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.lib import format as npy

from pipeline.errors import InvalidInput
from pipeline.sources.ogbench import OgbenchSource
from tests.contracts.source import NamingSourceContract

ROWS = [[4, 3, 6], [5]]
"""Rows of each episode in the two files."""


def arrays(rows: list[int], seed: int = 0) -> dict[str, np.ndarray]:
    """What a file of a locomotion task holds."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(rows) - 1
    return {
        "observations": rng.normal(size=(sum(rows), 3)).astype(np.float32),
        "actions": rng.normal(size=(sum(rows), 2)).astype(np.float32),
        "terminals": np.isin(np.arange(sum(rows)), ends),
        "qpos": rng.normal(size=(sum(rows), 4)).astype(np.float32),
    }


def write_pair(folder: Path, **changed: np.ndarray) -> Path:
    """Both files; the first with some arrays changed."""
    np.savez_compressed(folder / "antmaze-v0.npz", **(arrays(ROWS[0]) | changed))
    np.savez_compressed(folder / "antmaze-v0-val.npz", **arrays(ROWS[1], 1))
    return folder / "antmaze-v0.npz"


def read(path: Path, **settings):
    source = OgbenchSource(str(path), **settings)
    return list(source.episodes("toy", "corner")), list(source.quirks("toy", "corner"))


class TestOgbenchFiles(NamingSourceContract):
    any_task = True
    arrays_named: ClassVar = {"array": lambda folder, name: write_pair(folder, **{name: np.arange(13)})}

    def write(self, folder: Path) -> None:
        write_pair(folder)

    def source(self, folder: Path) -> OgbenchSource:
        return OgbenchSource(str(folder))


def test_a_row_that_is_marked_is_the_last_of_its_episode_and_its_action_leads_nowhere(tmp_path):
    path = write_pair(tmp_path)
    episodes, _ = read(path)
    assert [episode.rows for episode in episodes] == [4, 3, 6, 5]
    given = arrays(ROWS[0])
    np.testing.assert_array_equal(episodes[1].steps["observation"], given["observations"][4:7])
    np.testing.assert_array_equal(episodes[1].steps["action"], [*given["actions"][4:6], [0, 0]])
    np.testing.assert_array_equal(episodes[1].steps["info/qpos"], given["qpos"][4:7])
    assert all(episode.has_final_observation and episode.end_reason == "source" for episode in episodes)


def test_one_of_the_two_files_is_read_alone_where_that_is_asked(tmp_path):
    path = write_pair(tmp_path)
    assert [e.rows for e in read(path, split="train")[0]] == ROWS[0]
    assert [e.rows for e in read(path, split="val")[0]] == ROWS[1]
    assert [e.rows for e in read(tmp_path / "antmaze-v0-val.npz")[0]] == ROWS[1]
    (tmp_path / "antmaze-v0-val.npz").unlink()
    assert [e.rows for e in read(path)[0]] == ROWS[0]
    with pytest.raises(InvalidInput, match=r"source.split=val: .* has only .*antmaze-v0.npz"):
        read(path, split="val")


def test_what_was_odd_is_counted(tmp_path):
    marks = arrays(ROWS[0])["terminals"]
    marks[[0, -1]] = True, False
    path = write_pair(tmp_path, terminals=marks.astype(np.float32), goal=np.zeros(3), words=np.full(13, "a"))
    episodes, quirks = read(path)
    assert [episode.rows for episode in episodes] == [3, 3, 6, 5]
    assert [(quirk.name, quirk.sentence) for quirk in quirks] == [
        ("incomplete", "The last episode of antmaze-v0.npz ends without a mark in terminals."),
        ("unread_arrays", "goal was left out: it is float64 of shape (3,)."),
        ("unread_arrays", "words was left out: it is <U1 of shape (13,)."),
        ("no_rewards", "The files hold no rewards; they are zeros here."),
        ("empty_episodes", "1 episode has one row, and so no step; it was left out."),
    ]


def test_rewards_and_further_arrays_of_a_row_come_along(tmp_path):
    rewards = np.arange(13, dtype=np.float32)
    path = write_pair(tmp_path, rewards=rewards, **{"privileged/target": np.arange(13)})
    np.savez(tmp_path / "antmaze-v0-val.npz", **arrays(ROWS[1]), rewards=rewards[:5])
    episodes, _ = read(path)
    assert episodes[1].steps["reward"].tolist() == [4, 5, 0]
    assert episodes[1].steps["info/privileged%2Ftarget"].tolist() == [4, 5, 6]


def test_numbers_of_another_order_of_bytes_and_columns_that_lie_together_are_the_same_numbers(tmp_path):
    given = arrays(ROWS[0])
    plain, _ = read(write_pair(tmp_path))
    other = np.asfortranarray(given["observations"].astype(">f4"))
    again, _ = read(write_pair(tmp_path, observations=other))
    assert [episode.digest() for episode in again] == [episode.digest() for episode in plain]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"observations": np.zeros((12, 3))}, r"observations should be numbers of 13 rows.*\(12, 3\)"),
        ({"actions": np.full(13, "a")}, r"actions should be numbers of 13 rows.*<U1"),
        ({"actions": np.full(13, None)}, "actions holds Python objects, which are code"),
        ({"terminals": np.full(13, 2)}, "terminals should be 0 or 1; it is 2 at row 0"),
        ({"terminals": np.zeros((13, 1))}, "terminals should be one number a row"),
        ({"observations": np.full((13, 3), np.nan)}, "episode 0: observation holds NaN"),
        ({"rewards": np.full(13, np.inf)}, "episode 0: reward holds NaN or infinity"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_no_file_of_ogbench_is_refused_with_what_was_wanted(tmp_path, changed, words):
    with pytest.raises(InvalidInput, match=words):
        read(write_pair(tmp_path, **changed))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (False, r"episode 0 would have 5,000 rows, 1.5 GB.*terminals makes 2 episodes of all 6,000 rows"),
        (True, r"observations lies column by column, so that all of its 1.8 GB .*ascontiguousarray"),
    ],
)
def test_an_episode_that_memory_would_not_hold_is_refused_before_a_row_is_read(tmp_path, columns, words):
    with zipfile.ZipFile(tmp_path / "long.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in (("terminals", np.arange(6000) == 4999), ("actions", np.zeros((6000, 1), np.float32))):
            with archive.open(f"{name}.npy", "w") as file:
                np.save(file, array)
        header = {"descr": "|u1", "fortran_order": columns, "shape": (6000, 300_000)}
        with archive.open("observations.npy", "w") as file:
            npy.write_array_header_1_0(file, header)
        archive.getinfo("observations.npy").file_size += 6000 * 300_000  # of which there is nothing
    with pytest.raises(InvalidInput, match=words):
        OgbenchSource(str(tmp_path)).count("toy", "corner")


def test_a_file_that_lacks_an_array_says_what_it_has(tmp_path):
    np.savez(tmp_path / "x.npz", observations=np.zeros(3), dones=np.zeros(3))
    with pytest.raises(InvalidInput, match=r"has no terminals\..*it has observations, dones"):
        read(tmp_path / "x.npz")


def test_a_file_that_is_cut_or_damaged_is_named(tmp_path):
    path = write_pair(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(InvalidInput, match=re.escape(str(path))):
        read(path)
    damaged = bytearray(whole)
    damaged[120] ^= 255
    path.write_bytes(bytes(damaged))
    with pytest.raises(InvalidInput, match=re.escape(str(path))):
        read(path)


def test_a_folder_with_several_datasets_names_them(tmp_path):
    write_pair(tmp_path)
    np.savez(tmp_path / "b.npz", **arrays([3]))
    with pytest.raises(InvalidInput, match="it holds antmaze-v0.npz, b.npz"):
        read(tmp_path)


def test_a_folder_above_the_dataset_names_the_folders_in_it(tmp_path):
    (tmp_path / "toy-corner-scripted-v1").mkdir()
    with pytest.raises(InvalidInput, match="it holds toy-corner-scripted-v1/"):
        list(OgbenchSource(str(tmp_path)).episodes("toy", "corner"))
