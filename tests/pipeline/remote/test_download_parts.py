"""Downloads that go on where an earlier one ended, and unfinished files that nothing can be added to."""

from __future__ import annotations

import hashlib
import signal

import pytest

from pipeline.remote.download import RemoteFile
from tests.gcs_server import crc32c
from tests.pipeline.remote.downloads import content, fetch, left, put, ranges, run_child, stopped_after


def test_after_a_killed_process_the_next_one_goes_on_where_the_part_ends(gcs, here):
    file = put(gcs, here, "a.gz", 9500, crc32c=None)
    gcs.fail("GET a.gz", stall=300, skip=4)
    child = run_child(gcs, here, [file])
    assert gcs.reached.wait(60)
    child.send_signal(signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    assert not file.local.exists()
    assert file.part.stat().st_size == 4000
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert [start for start, _ in ranges(gcs, "a.gz")] == [0, 1000, 2000, 3000, 4000, *range(4000, 9500, 1000)]
    assert gcs.sent["a.gz"] == 9500 + 300
    assert left(here) == ["a.gz"]


@pytest.mark.parametrize("listed", [{}, {"md5": None}, {"md5": None, "crc32c": None}])
def test_the_part_of_a_file_that_changed_is_thrown_away(gcs, here, listed):
    stopped_after(gcs, here, put(gcs, here, "a.gz", 3500, **listed), 2)
    other = put(gcs, here, "a.gz", 3501, **listed)
    fetch([other], here)
    assert other.local.read_bytes() == content(gcs, other)
    assert gcs.sent["a.gz"] == 3501


def test_the_part_of_a_file_that_changed_but_for_its_size_is_thrown_away(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    stopped_after(gcs, here, file, 2)
    (gcs.folder / "a.gz").write_bytes(bytes(3500))
    other = RemoteFile(file.remote, 3500, file.local, hashlib.md5(bytes(3500)).digest(), crc32c(bytes(3500)))
    fetch([other], here)
    assert other.local.read_bytes() == bytes(3500)
    assert gcs.sent["a.gz"] == 3500


@pytest.mark.parametrize("note", [b"", b"{", b"[]", None])
def test_a_part_without_a_good_note_is_thrown_away(gcs, here, note):
    file = put(gcs, here, "a.gz", 3500)
    stopped_after(gcs, here, file, 2)
    file.note.unlink() if note is None else file.note.write_bytes(note)
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert gcs.sent["a.gz"] == 3500


def test_a_part_that_is_longer_than_the_file_is_thrown_away(gcs, here, caplog):
    file = put(gcs, here, "a.gz", 3500)
    stopped_after(gcs, here, file, 2)
    file.part.write_bytes(bytes(3501))
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert "once more" not in caplog.text


def test_without_checksums_a_part_belongs_to_its_path_alone(gcs, here):
    unknown = {"md5": None, "crc32c": None}
    stopped_after(gcs, here, put(gcs, here, "a.gz", 3500, **unknown), 2)
    other = put(gcs, here, "b.gz", 3500, **unknown)
    (gcs.folder / "b.gz").write_bytes(bytes(3500))
    fetch([RemoteFile(other.remote, 3500, here / "a.gz")], here)
    assert (here / "a.gz").read_bytes() == bytes(3500)


def test_with_checksums_a_part_may_be_continued_from_another_place(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    stopped_after(gcs, here, file, 2)
    same = put(gcs, here, "b.gz", 3500)
    fetch([RemoteFile(same.remote, 3500, file.local, same.md5, same.crc32c)], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert gcs.sent == {"b.gz": 1500}


def test_a_part_that_is_complete_is_verified_and_needs_nothing_more(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    stopped_after(gcs, here, file, 2)
    file.part.write_bytes(content(gcs, file))
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert gcs.sent == {}
