"""Trees that are damaged, contradict themselves or want code to be run are refused in plain words."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from tests.pipeline.sources.rlhf_blender.test_source import edit_npz, quirks, read, run_of
from tests.rlhf_blender_files import boxed, write_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The episodes of a tree at `tmp_path`."""
    return write_run(tmp_path, run_of(3, 4, 2))


def beside(folder: Path, kind: str, number: int) -> Path:
    return Path(str(folder).replace("/episodes/", f"/{kind}/")) / f"{kind}_{number}.npy"


def test_an_empty_tree_is_named_with_what_is_wanted(tmp_path):
    (tmp_path / "data" / "episodes").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"holds no episodes.*benchmark_0\.npz"):
        read(tmp_path)


def test_a_gap_between_the_numbers_is_named(tmp_path, folder):
    (folder / "benchmark_1.npz").unlink()
    with pytest.raises(InvalidInput, match=r"lacks benchmark_1\.npz: it has the episodes 0, 2"):
        read(tmp_path)


def test_a_missing_file_of_rewards_is_named(tmp_path, folder):
    beside(folder, "rewards", 1).unlink()
    with pytest.raises(InvalidInput, match=r"rewards_1\.npy is not there"):
        read(tmp_path)


def test_uncertainties_may_be_missing(tmp_path, folder):
    beside(folder, "uncertainty", 1).unlink()
    assert len(read(tmp_path)) == 3


@pytest.mark.parametrize("rewards", [np.array([0.0, 7, 7, 7]), np.zeros(9), np.zeros((4, 1))])
def test_rewards_of_another_run_are_named_with_their_file(tmp_path, folder, rewards):
    path = beside(folder, "rewards", 0)
    np.save(path, rewards)
    with pytest.raises(InvalidInput, match=str(path)):
        read(tmp_path)


def test_an_uncertainty_of_another_kind_is_an_info_of_its_own(tmp_path, folder):
    np.save(beside(folder, "uncertainty", 0), np.array([0.5, 0.25, 0.125, 4]))
    np.save(beside(folder, "uncertainty", 1), np.zeros(9))
    with pytest.raises(InvalidInput, match=r"uncertainty_1\.npy should hold a number for each of 4 rows"):
        read(tmp_path)
    beside(folder, "uncertainty", 1).unlink()
    assert read(tmp_path)[0].steps["info/uncertainty"].tolist() == [0.5, 0.25, 0.125, 0.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"obs": None}, "lacks obs"),
        ({"actions": np.zeros(3)}, r"same rows.*actions \[3\]"),
        ({"dones": np.array([0, 1, 0, 1], bool)}, r"dones is true in row 1 of 4"),
        ({"dones": np.array([0, 2, 0, 1])}, "dones should be 0 or 1"),
        ({"obs": np.array([{}, {}, {}, {}], object)}, "obs should hold numbers.*Python objects"),
        ({"obs": np.full((4, 3), np.nan)}, r"benchmark_0\.npz: observation holds NaN"),
        ({"actions": np.zeros(4, complex)}, "actions should hold numbers"),
        ({"infos": np.zeros(4)}, "infos should hold a dict a row"),
        ({"infos": boxed([1, 2, 3, 4])}, "infos should hold a dict a row; there is a int"),
        ({"infos": boxed([{}] * 3)}, r"same rows.*infos \[3\]"),
    ],
)
def test_arrays_that_are_none_are_named(tmp_path, folder, changed, message):
    edit_npz(folder / "benchmark_0.npz", **changed)
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path)


def test_arrays_of_other_names_are_left_out_and_counted(tmp_path, folder):
    edit_npz(folder / "benchmark_0.npz", **{"../../x": np.zeros(4), "logits": np.zeros((4, 2)), "features": None})
    assert quirks(tmp_path)["unread_arrays"] == 2


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
@pytest.mark.parametrize("name", ["episodes/benchmark_1.npz", "rewards/rewards_1.npy"])
def test_a_file_that_is_cut_off_is_named(tmp_path, folder, name, share):
    path = folder / name.partition("/")[2] if "npz" in name else beside(folder, "rewards", 1)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InvalidInput, match=str(path)):
        read(tmp_path)


def test_an_array_that_unpacks_to_far_more_than_its_file_is_refused(tmp_path, folder):
    path = folder / "benchmark_0.npz"
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    at = content.index(b"obs.npy", start) - 46
    content[at + 24 : at + 28] = (2**31).to_bytes(4, "little")  # the size that the archive says, unpacked
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"obs should unpack from .* to 2\.1 GB|damaged"):
        read(tmp_path)


def test_files_that_are_no_episodes_are_passed_over_and_counted(tmp_path, folder):
    for name in ("benchmark_03.npz", "benchmark_-1.npz", "notes.txt", ".hidden.npz"):
        (folder / name).write_bytes(b"")
    assert quirks(tmp_path)["unknown_files"] == 3


class Planted:
    """Would write a file where its pickle is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_infos_that_are_code_are_read_when_they_are_trusted(tmp_path, folder):
    infos = boxed([{"planted": Planted(tmp_path / "ran")}, {"half": Fraction(1, 2)}, {"seen": 3}, {"seen": 4}])
    edit_npz(folder / "benchmark_0.npz", infos=infos)
    with pytest.raises(InvalidInput, match=r"(?s)benchmark_0.*infos name pathlib.*trust=true.*source.infos=false"):
        read(tmp_path)
    assert not (tmp_path / "ran").exists()
    assert len(read(tmp_path, infos=False)) == 3
    assert not (tmp_path / "ran").exists()
    trusted = read(tmp_path, trust=True)
    assert (tmp_path / "ran").exists()
    assert trusted[0].steps["info/seen"].tolist() == [0, 3, 4, 0]
