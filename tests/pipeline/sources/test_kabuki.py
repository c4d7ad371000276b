from collections import Counter
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest

from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.kabuki import KabukiSource
from tests.contracts.source import NamingSourceContract, SourceContract
from tests.kabuki_files import kabuki_arrays, write_kabuki
from tests.named import name_in_hdf5


class TestKabuki(NamingSourceContract):
    any_task = True
    arrays_named: ClassVar = {"dataset": lambda folder, name: name_in_hdf5(folder / "log.hdf5", 12, name)}

    def write(self, folder: Path) -> None:
        write_kabuki(folder / "log.hdf5", kabuki_arrays())

    def source(self, folder: Path) -> KabukiSource:
        return KabukiSource(str(folder / "log.hdf5"))


class TestKabukiFolder(SourceContract):
    def write(self, folder: Path) -> None:
        write_kabuki(folder / "corner.hdf5", kabuki_arrays())

    def source(self, folder: Path) -> KabukiSource:
        return KabukiSource(str(folder))


def read(path: Path, **settings: str) -> tuple[list[Episode], dict[str, int]]:
    """The episodes, and how often each quirk was met."""
    source = KabukiSource(str(path), **settings)
    episodes = list(source.episodes("toy", "corner"))
    assert source.count("toy", "corner") == len(episodes)
    met = Counter[str]()
    for quirk in source.quirks("toy", "corner"):
        met[quirk.name] += quirk.count
    return episodes, dict(met)


@pytest.fixture
def arrays():
    return kabuki_arrays()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.hdf5"


def test_an_episode_has_the_rows_that_stand_there(path, arrays):
    (first, second, third), quirks = read(write_kabuki(path, arrays))
    assert [e.length for e in (first, second, third)] == [3, 1, 4]
    np.testing.assert_array_equal(first.steps["observation"][:, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(third.steps["observation"][:, 0], [300, 301, 302, 303, 304])
    assert first.steps["observation"].dtype == np.float32
    np.testing.assert_array_equal(third.steps["action"], [[30], [31], [32], [33], [0]])
    np.testing.assert_array_equal(first.steps["reward"], [0.25, 1.25, 2.25, 0])
    np.testing.assert_array_equal(first.steps["discount"], [1, 1, 0, 0])
    np.testing.assert_array_equal(second.steps["discount"], [1, 0])
    assert [(e.terminated, e.truncated, e.end_reason) for e in (first, second)] == [
        (True, False, "terminated"),
        (False, True, "time_limit"),
    ]
    assert quirks == {"empty_episodes": 1}


def test_nested_observations_and_what_else_has_a_row_for_each_step_are_kept(path, arrays):
    arrays["observation/proprio/q"] = arrays.pop("observation")
    rows = len(arrays["reward"])
    arrays["observation/camera"] = np.arange(rows * 4, dtype=np.uint8).reshape(rows, 2, 2)
    arrays |= {"step_metadata/goal/x": np.arange(rows), "energy": np.full(rows, np.nan), "notes": b"by hand"}
    arrays["calibration"] = np.eye(3)
    (first, *_), quirks = read(write_kabuki(path, arrays))
    assert sorted(first.steps) == [
        *("action", "discount", "info/energy", "info/goal/x"),
        *("observation/camera", "observation/proprio/q", "reward"),
    ]
    np.testing.assert_array_equal(first.steps["info/goal/x"], [0, 1, 2, 3])
    assert quirks == {"unread_arrays": 2, "empty_episodes": 1}


@pytest.mark.parametrize("spelling", ["discounnts", "discounts", None])
def test_discounts_that_are_misspelt_and_hold_rewards_are_made_from_the_ends(path, arrays, spelling):
    whole, _ = read(write_kabuki(path, arrays))
    del arrays["discount"]
    if spelling:
        arrays[spelling] = arrays["reward"]
    episodes, quirks = read(write_kabuki(path, arrays))
    assert [e.digest() for e in episodes] == [e.digest() for e in whole]
    assert quirks["no_discounts"] == 1


def test_misspelt_discounts_that_are_discounts_are_read(path, arrays):
    arrays["discounts"] = arrays.pop("discount")
    arrays["discounts"][0] = 0.5
    (first, *_), quirks = read(write_kabuki(path, arrays))
    np.testing.assert_array_equal(first.steps["discount"], [0.5, 1, 0, 0])
    assert quirks["misspelt_discounts"] == 1


@pytest.mark.parametrize(
    ("missing", "quirk"),
    [("is_first", "inferred_ends"), ("is_last", "inferred_ends"), ("is_terminal", "no_terminals")],
)
def test_a_flag_that_is_missing_follows_from_the_others(path, arrays, missing, quirk):
    whole, _ = read(write_kabuki(path, arrays))
    del arrays[missing]
    episodes, quirks = read(write_kabuki(path, arrays))
    assert [e.digest() for e in episodes] == [e.digest() for e in whole]
    assert quirks[quirk] == 1


def test_the_end_of_an_episode_wins_over_its_discounts(path, arrays):
    arrays["discount"][2] = 1  # terminal, but goes on
    arrays["discount"][4] = 0  # truncated, but stops
    (first, second, _), quirks = read(write_kabuki(path, arrays))
    np.testing.assert_array_equal(first.steps["discount"], [1, 1, 0, 0])
    assert first.terminated
    np.testing.assert_array_equal(second.steps["discount"], [0, 0])
    assert second.truncated
    assert quirks["contradicting_discounts"] == 2


def test_what_last_rows_say_of_actions_and_rewards_is_nothing(path, arrays):
    whole, _ = read(write_kabuki(path, arrays))
    arrays["action"][3] = arrays["reward"][3] = 7
    episodes, quirks = read(write_kabuki(path, arrays))
    assert [e.digest() for e in episodes] == [e.digest() for e in whole]
    assert quirks["last_row_values"] == 2


def test_an_episode_without_its_end_is_left_out_or_kept_without_its_last_observation(path, arrays):
    arrays["is_last"][3] = False  # the first episode has no end, nor has what is written last
    arrays = {name: array[:-1] for name, array in arrays.items()}
    write_kabuki(path, arrays)
    (only,), quirks = read(path)
    assert only.steps["observation"][0, 0] == 100
    assert quirks["incomplete"] == 2
    (first, _, last), _ = read(path, incomplete="keep")
    assert [(e.length, e.has_final_observation, e.end_reason) for e in (first, last)] == [(4, False, "source")] * 2
    np.testing.assert_array_equal(first.steps["observation"][:, 0], [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(last.steps["action"][:, 0], [30, 31, 32, 33, 0])


def test_rows_before_a_beginning_are_no_episode(path, arrays):
    arrays["is_first"][0] = False
    episodes, quirks = read(write_kabuki(path, arrays))
    assert len(episodes) == 2
    assert quirks["incomplete"] == 1
    assert len(read(path, incomplete="keep")[0]) == 3


def test_seeds_that_a_file_lists_are_kept_and_a_list_of_other_episodes_is_not(path, arrays):
    arrays["episode_metadata/seed"] = np.array([5, 6, 7, 8])
    episodes, _ = read(write_kabuki(path, arrays))
    assert [e.seed for e in episodes] == [5, 6, 8]
    arrays["episode_metadata/seed"] = np.array([5, 6])
    episodes, quirks = read(write_kabuki(path, arrays))
    assert [e.seed for e in episodes] == [-1] * 3
    assert quirks["stale_episode_metadata"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("observation"), "needs a dataset observation"),
        (lambda a: a.pop("action"), "needs a dataset action"),
        (lambda a: (a.pop("is_first"), a.pop("is_last")), "neither is_first nor is_last"),
        (lambda a: a.update(reward=a["reward"][:-2]), r"same first dimension.*reward 10"),
        (lambda a: a.update(reward=np.where(a["is_last"], 0, np.nan)), r"episode 0 \(from row 0\).*reward holds NaN"),
        (lambda a: a.update(discount=a["discount"] + 3), r"episode 0.*discount must lie in \[0, 1\]"),
        (lambda a: a.update(is_last=np.where(a["is_last"], np.nan, 0)), "is_last should be 0 or 1; it is nan at row 3"),
        (lambda a: a.update(reward=np.ones((12, 2))), r"one reward a row.*\[12, 2\]"),
        (lambda a: a.update(action=np.array(["left"] * 12, object)), "action .*numbers.*objects"),
        (lambda a: a.update({name: array[:0] for name, array in a.items()}), "no rows"),
    ],
)
def test_what_cannot_be_read_is_said_in_plain_words(path, arrays, change, words):
    change(arrays)
    write_kabuki(path, arrays)
    with pytest.raises(InvalidInput, match=f"(?s){words}") as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_cut_or_none_is_said_to_be(path, arrays, tmp_path):
    write_kabuki(path, arrays)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InvalidInput, match="cannot be read.*cut"):
        read(path)
    (tmp_path / "text.hdf5").write_text("no HDF5")
    with pytest.raises(InvalidInput, match=r"text\.hdf5 cannot be read"):
        read(tmp_path / "text.hdf5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"without a file of \.hdf5 or \.h5"):
        read(tmp_path / "empty")


def test_nothing_outside_the_file_is_read(path, arrays, tmp_path):
    write_kabuki(tmp_path / "other.hdf5", {"secret": np.arange(12)})
    write_kabuki(path, arrays)
    with h5py.File(path, "a") as file:
        file["stolen"] = h5py.ExternalLink("other.hdf5", "/secret")
        file["again"] = h5py.SoftLink("/reward")
        file["loop"] = file["/"]
    (first, *_), quirks = read(path)
    assert not any(name.startswith("info/") for name in first.steps)
    assert quirks["links"] == 2
    with h5py.File(path, "a") as file:
        layout = h5py.VirtualLayout((12,), np.int64)
        layout[:] = h5py.VirtualSource("other.hdf5", "secret", (12,))
        file.create_virtual_dataset("stolen2", layout)
    with pytest.raises(InvalidInput, match="stolen2.*lies in another file"):
        read(path)


def test_a_dataset_that_promises_more_than_a_file_can_hold_is_refused(path, arrays):
    write_kabuki(path, arrays)
    with h5py.File(path, "a") as file:
        file.create_dataset("empty", (2**40,), np.float64, chunks=(1024,))
    with pytest.raises(InvalidInput, match="empty .*says that it holds"):
        read(path)
