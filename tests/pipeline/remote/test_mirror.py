"""Copies of what lies elsewhere: whole, taken up after a kill, renewed where it changed, nothing out of its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest

from pipeline.errors import InvalidInput, Unreachable
from pipeline.remote import mirror
from pipeline.remote.mirror import LEASE, RECORD, mirrored
from tests.gcs_server import BUCKET, Gcs
from tests.pipeline.remote.downloads import RANGE, ROOT
from tests.web_server import web_server

SETTING = "source.path"

CHILD = """
import sys
from pathlib import Path
from pipeline.remote import download
from pipeline.remote.mirror import mirrored
download.RANGE_BYTES = int(sys.argv[3])
mirrored(sys.argv[1], Path(sys.argv[2]), "source.path")
"""


@pytest.fixture
def memory() -> str:
    """The address of a folder of its own, with a file, one in a folder below it, and an empty one."""
    address = f"memory://{uuid.uuid4().hex}/sets"
    fill(address, {"a.hdf5": b"a" * 2500, "deep/b.npz": b"b", "_SUCCESS": b"", ".hidden": b"x"})
    return address


def fill(address: str, files: dict[str, bytes]) -> None:
    system = fsspec.filesystem("memory")
    for name, content in files.items():
        system.pipe_file(f"{address.removeprefix('memory:/')}/{name}", content)


def here_is(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_folder_comes_whole_under_its_own_name_and_a_second_call_asks_for_no_byte(memory: str, here: Path, caplog):
    place = mirrored(memory, here, SETTING)
    assert place.name == "sets"
    assert here_is(place) == {"a.hdf5": b"a" * 2500, "deep/b.npz": b"b", "_SUCCESS": b""}
    assert sorted(path.name for path in place.parent.iterdir()) == [RECORD, "sets"]
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert mirrored(f"{memory}/", here, SETTING) == place
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_what_changed_there_is_fetched_anew_and_what_is_gone_there_goes_here(memory: str, here: Path):
    place = mirrored(memory, here, SETTING)
    unchanged = (place / "deep" / "b.npz").stat().st_mtime_ns
    fill(memory, {"a.hdf5": b"c" * 2500, "new": b"n"})  # of the same size
    fsspec.filesystem("memory").rm(f"{memory.removeprefix('memory:/')}/_SUCCESS")
    assert here_is(mirrored(memory, here, SETTING)) == {"a.hdf5": b"c" * 2500, "deep/b.npz": b"b", "new": b"n"}
    assert (place / "deep" / "b.npz").stat().st_mtime_ns == unchanged


def test_a_part_of_a_file_that_changed_is_begun_anew(memory: str, here: Path, monkeypatch: pytest.MonkeyPatch):
    record = mirrored(memory, here, SETTING).parent / RECORD
    file = record.parent / "sets" / "a.hdf5"
    file.rename(file.with_name(".a.hdf5.part"))  # as if it had not been renamed yet
    file.with_name(".a.hdf5.part.json").write_text('{"size": 2500, "md5": null, "crc32c": null, "version": "older"}')
    fill(memory, {"a.hdf5": b"d" * 2500})
    mirrored(memory, here, SETTING)
    assert file.read_bytes() == b"d" * 2500


def test_a_torn_record_costs_a_download_and_no_more(memory: str, here: Path):
    place = mirrored(memory, here, SETTING)
    (place.parent / RECORD).write_text("{")
    (place / "a.hdf5").write_bytes(b"x" * 2500)
    assert here_is(mirrored(memory, here, SETTING))["a.hdf5"] == b"a" * 2500


def test_only_what_is_wanted_comes_and_what_came_before_stays(memory: str, here: Path):
    first = mirrored(memory, here, SETTING, keep=lambda names: [name for name in names if name == "deep/b.npz"])
    assert list(here_is(first)) == ["deep/b.npz"]
    mirrored(memory, here, SETTING, keep=lambda names: ["a.hdf5"])
    assert sorted(here_is(first)) == ["a.hdf5", "deep/b.npz"]


def test_a_file_comes_with_those_beside_it_that_are_there(memory: str, here: Path):
    file = mirrored(f"{memory}/a.hdf5", here, SETTING, beside=["_SUCCESS", "nothing"])
    assert file.name == "a.hdf5"
    assert sorted(path.name for path in file.parent.iterdir() if path.name not in (RECORD, LEASE)) == [
        "_SUCCESS", "a.hdf5",
    ]  # fmt: skip


def test_what_is_not_there_is_no_file(memory: str, here: Path):
    with pytest.raises(FileNotFoundError):
        mirrored(f"{memory}/nowhere", here, SETTING)
    assert not here.exists()


def test_a_file_that_is_a_folder_too_is_refused(gcs: Gcs, here: Path):
    gcs.listed |= {"sets/a": {"size": "4"}, "sets/a/inside": {"size": "4"}}
    with pytest.raises(InvalidInput, match="a file and a folder of one name, above inside"):
        mirrored(f"gs://{BUCKET}/sets", here, SETTING)


def test_a_file_that_changes_while_it_comes_is_told(memory: str, here: Path, monkeypatch: pytest.MonkeyPatch):
    whole = mirror.download

    def with_a_writer(*asked: object) -> None:
        whole(*asked)  # type: ignore[arg-type]
        fill(memory, {"a.hdf5": b"e" * 2500})

    monkeypatch.setattr(mirror, "download", with_a_writer)
    with pytest.raises(InvalidInput, match=r"changed while it was copied: a\.hdf5\. Run the same command again"):
        mirrored(memory, here, SETTING)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "a//evil", "a/./evil", "a\0evil"])
def test_no_name_of_a_listing_leads_out_of_the_copy(gcs: Gcs, here: Path, name: str):
    gcs.listed[f"sets/{name}"] = {"size": "4"}
    (gcs.folder / "sets").mkdir()
    (gcs.folder / "sets" / "good").write_bytes(b"good")
    with pytest.raises(InvalidInput, match="leads out of that folder"):
        mirrored(f"gs://{BUCKET}/sets", here, SETTING)
    assert not [path for path in here.rglob("*") if path.name in ("evil", "good")]


def test_a_killed_copy_goes_on_where_it_ended_and_each_byte_comes_once(gcs: Gcs, here: Path):
    content = np.random.default_rng(0).bytes(5 * RANGE)
    (gcs.folder / "sets").mkdir()
    (gcs.folder / "sets" / "a.bin").write_bytes(content)
    gcs.fail("GET sets/a.bin", stall=0, skip=3)
    address = f"gs://{BUCKET}/sets"
    command = [sys.executable, "-c", CHILD, address, str(here), str(RANGE)]
    child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "STORAGE_EMULATOR_HOST": gcs.url})
    assert gcs.reached.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    gcs.sent.clear()
    assert here_is(mirrored(address, here, SETTING))["a.bin"] == content
    assert gcs.sent["sets/a.bin"] == 2 * RANGE


def test_a_file_of_a_web_server_comes_in_parts_and_again_when_its_tag_changes(tmp_path: Path, here: Path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "log.hdf5").write_bytes(b"w" * 2500)
    with web_server(tmp_path / "web") as (url, asked):
        file = mirrored(f"{url}/log.hdf5?download=true", here, SETTING)
        assert file.name == "log.hdf5"
        assert file.read_bytes() == b"w" * 2500
        assert [each for each in asked if "bytes=" in each] == [
            f"GET log.hdf5 bytes={start}-{stop}" for start, stop in ((0, 999), (1000, 1999), (2000, 2499))
        ]
        (tmp_path / "web" / "log.hdf5").write_bytes(b"v" * 2500)
        assert mirrored(f"{url}/log.hdf5?download=true", here, SETTING).read_bytes() == b"v" * 2500
        with pytest.raises(FileNotFoundError):
            mirrored(f"{url}/other.hdf5", here, SETTING)


def test_two_addresses_have_two_folders_that_can_be_told_apart(here: Path):
    names = {mirror._folder_name(each) for each in ("gs://b/a", "s3://b/a", "https://b/a?x=1", "https://b/a?x=2")}
    assert len(names) == 4
    assert all(name.startswith("b-a-") for name in names)


def test_a_password_is_refused_before_anything_is_asked(here: Path):
    with pytest.raises(InvalidInput, match=r"source\.path must not hold a password") as caught:
        mirrored("https://me:hunter2secret@127.0.0.1:9/a", here, SETTING)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_does_not_answer_is_told_with_what_to_do(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.remote.filesystem.TRIES", 1)  # no pauses
    with pytest.raises(Unreachable, match=r"Check source\.path and the network"):
        mirrored("http://127.0.0.1:9/a", here, SETTING)
