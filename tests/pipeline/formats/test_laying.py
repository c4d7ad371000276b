"""An export appears where it is wanted in one step, beside whatever lies there, and over nothing."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.formats.contract import Outgoing
from pipeline.formats.laying import place_out
from pipeline.formats.places import another_place
from stages import export
from tests.conftest import made_episode
from tests.contracts.format import Listed, exported, ingested
from tests.pipeline.formats.test_contract import ArraysFormat
from tests.test_disks import mounted


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    """A store with a dataset of `corner` and one of `maze`."""
    home = Workspace(str(tmp_path / "outputs"))
    rng = np.random.default_rng(3)
    for task in ("corner", "maze"):
        ingested(Listed([made_episode(rng, 2 + number) for number in range(3)]), home, task=task)
    return home


def laid(home: Workspace, out: Path | str, task: str = "corner", **settings: object) -> str:
    return exported(ArraysFormat(), home, out=str(out), task=task, **settings).laid


def everything_below(folder: Path) -> list[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(name.as_posix() for name in names if not name.name.endswith(".checked"))


def test_two_tasks_are_laid_in_one_folder_and_nothing_else_is_left_there(home, tmp_path):
    assert laid(home, tmp_path / "out") == str(tmp_path / "out" / "corner")
    assert laid(home, tmp_path / "out", "maze") == str(tmp_path / "out" / "maze")
    files = ["0.npz", "1.npz", "2.npz", "provenance.json"]
    of_tasks = [f"{task}/{name}" for task in ("corner", "maze") for name in files]
    assert everything_below(tmp_path / "out") == sorted(["corner", "maze", *of_tasks])


def test_what_a_killed_run_left_beside_the_place_is_removed(home, tmp_path):
    (tmp_path / "out" / ".corner.partial" / "deep").mkdir(parents=True)
    (tmp_path / "out" / ".corner.partial" / "deep" / "half").touch()
    laid(home, tmp_path / "out")
    assert not (tmp_path / "out" / ".corner.partial").exists()
    (tmp_path / "out" / ".maze.partial").touch()
    laid(home, tmp_path / "out", "maze")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"corner", "maze"}


def test_a_run_that_was_killed_in_the_middle_holds_nobody_up(home, tmp_path):
    (tmp_path / "out").mkdir()
    code = """
import os, pathlib, sys
from pipeline.machine.lease import held
out = pathlib.Path(sys.argv[1])
with held(out / ".corner.lease", "laying it"):
    (out / ".corner.partial").mkdir()
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert done.returncode == -9
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".corner.lease", ".corner.partial"}
    laid(home, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"corner"}


def test_an_empty_folder_is_filled_and_the_same_files_are_found_again(home, tmp_path):
    (tmp_path / "out" / "corner").mkdir(parents=True)
    laid(home, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    laid(home, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_the_log_names_the_place_of_an_export_that_was_made_before(home, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        laid(home, tmp_path / "first")
        assert "laid at" not in caplog.text  # the line of a run says where it was built
        laid(home, tmp_path / "second")
    assert f"laid at {tmp_path / 'second' / 'corner'}" in caplog.text


def test_the_files_of_the_store_get_a_second_name_where_that_is_wanted(home, tmp_path):
    laid(home, tmp_path / "copied")
    laid(home, tmp_path / "linked", link=True)
    assert (tmp_path / "copied" / "corner" / "0.npz").stat().st_nlink == 1
    assert (tmp_path / "linked" / "corner" / "0.npz").stat().st_nlink == 2


def test_an_address_of_this_machine_is_a_folder(home, tmp_path):
    assert laid(home, f"file://{tmp_path}/out") == str(tmp_path / "out" / "corner")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda out: (out / "corner").mkdir(parents=True) or (out / "corner" / "own").touch(), "holds own"),
        (lambda out: out.mkdir() or (out / "corner").touch(), "it is another file"),
        (lambda out: out.touch(), "is a file; corner needs a folder there"),
        (lambda out: out.symlink_to("nowhere"), "is a file; corner needs a folder there"),
    ],
    ids=["a folder with a file", "a file in its place", "a file for a folder", "a link to nowhere"],
)
def test_something_else_in_the_place_is_named_and_left_alone(home, tmp_path, make, message):
    make(tmp_path / "out")
    before = everything_below(tmp_path)
    with pytest.raises(InvalidInput, match=message) as caught:
        laid(home, tmp_path / "out")
    assert "out-2" in str(caught.value)
    assert everything_below(tmp_path) == before  # nothing was made before that was known


def test_a_place_in_the_store_or_around_it_is_refused(home, tmp_path):
    for out in (home.root / "toy", home.root.parent / "artifacts", home.root.parent.parent / "outputs" / "artifacts"):
        with pytest.raises(InvalidInput, match="lie one inside the other"):
            laid(home, out)
    around = place_out(str(home.root.parent), PurePosixPath(), (), False)
    with pytest.raises(InvalidInput, match="lie one inside the other"):
        around.require_possible(home.root)


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_made(home, tmp_path):
    with pytest.raises(InvalidInput, match="nothing can be written in /proc"):
        laid(home, "/proc/out")
    assert not list((home.root / "toy" / "corner").glob("export/[!.]*"))


def test_a_disk_that_is_full_is_named_and_nothing_is_left_on_it(home, tmp_path):
    ingested(Listed([made_episode(np.random.default_rng(1), 2000)]), home, "large-v1")
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=64k", "tmpfs") as small:
        with pytest.raises(OSError, match="No space left on device") as caught:
            laid(home, small / "deep" / "out", dataset="large-v1")
        assert str(caught.value.filename).startswith(str(small))
        assert everything_below(small) == []


def test_a_file_takes_the_name_that_was_typed_or_its_own_in_a_folder(tmp_path):
    place, root = PurePosixPath("assembly.hdf5"), tmp_path
    assert str(place_out(f"{root}/a.hdf5", place, (".hdf5", ".h5"), False)) == str(root / "a.hdf5")
    assert str(place_out(f"{root}/a.h5", place, (".hdf5", ".h5"), False)) == str(root / "a.h5")
    assert str(place_out(f"{root}/a", place, (".hdf5", ".h5"), False)) == str(root / "a" / "assembly.hdf5")
    assert str(place_out(f"{root}/a", PurePosixPath(), (), False)) == str(root / "a")


def test_a_file_for_several_tasks_is_refused_with_the_folder_to_name():
    class OneFile(ArraysFormat):
        suffixes = (".npz", ".NPZ")

    export.foresee_several(format=OneFile(), out="here/")
    export.foresee_several(format=ArraysFormat(), out="here.npz")
    with pytest.raises(InvalidInput, match=r"several tasks.*format.out=here$"):
        export.foresee_several(format=OneFile(), out="here.npz")


def test_another_place_has_the_same_kind_of_name():
    places = ["a", "a/", "/x/a.hdf5", "gs://b/a.hdf5", "memory://a"]
    assert [another_place(each) for each in places] == [
        "a-2", "a-2", "/x/a-2.hdf5", "gs://b/a-2.hdf5", "memory://a-2",
    ]  # fmt: skip


class SignpostedFormat(ArraysFormat):
    """With a file that says where it lies, or what a user says of that."""

    name = "signposted"

    def __init__(self, prefix: str | None = None) -> None:
        self._prefix = prefix

    def signposts(self, data: Sequence[Outgoing], place: str) -> Mapping[str, bytes]:
        return {"where.txt": (self._prefix or place).encode()}


def test_a_signpost_lies_with_the_export_and_is_no_part_of_it(home, tmp_path):
    out = tmp_path / "out"
    first = exported(SignpostedFormat(), home, out=str(out), task="corner")
    assert (out / "corner" / "where.txt").read_text() == str(out / "corner")
    assert not (place_in(first) / "where.txt").exists()
    elsewhere = exported(SignpostedFormat("/mnt"), home, out=str(tmp_path / "other"), task="corner")
    assert (elsewhere.path, elsewhere.built) == (first.path, False)


def test_another_signpost_replaces_the_one_that_is_there_and_nothing_else(home, tmp_path):
    out = tmp_path / "out"
    exported(SignpostedFormat(), home, out=str(out), task="corner")
    times = {path.name: path.stat().st_mtime_ns for path in (out / "corner").iterdir()}
    for _ in range(2):
        exported(SignpostedFormat("/mnt"), home, out=str(out), task="corner")
    after = {path.name: path.stat().st_mtime_ns for path in (out / "corner").iterdir()}
    assert (out / "corner" / "where.txt").read_text() == "/mnt"
    assert {name for name in after if after[name] != times[name]} == {"where.txt"}
    assert everything_below(out) == sorted(["corner", *(f"corner/{name}" for name in times)])
    (out / "corner" / "where.txt").unlink()
    exported(SignpostedFormat("/mnt"), home, out=str(out), task="corner")
    assert (out / "corner" / "where.txt").read_text() == "/mnt"
    (out / "corner" / "0.npz").write_bytes(b"changed")
    with pytest.raises(InvalidInput, match=r"is not this export: 0\.npz differs\. "):
        exported(SignpostedFormat("/data"), home, out=str(out), task="corner")
    (out / "corner" / "1.npz").unlink()
    (out / "corner" / "own.txt").touch()
    with pytest.raises(InvalidInput, match=r"export: 0\.npz differs, 1\.npz is missing and 1 more\. "):
        exported(SignpostedFormat("/data"), home, out=str(out), task="corner")
    assert (out / "corner" / "where.txt").read_text() == "/mnt"
