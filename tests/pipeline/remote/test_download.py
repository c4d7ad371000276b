"""Downloads from a real server on loopback: whole, verified, continued, each byte once, and errors that say where."""

from __future__ import annotations

import logging
import re
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.remote import filesystem as remote
from pipeline.remote.download import RemoteFile, download
from pipeline.remote.filesystem import connect
from tests.gcs_server import BUCKET, Fault, serving
from tests.pipeline.remote.downloads import (
    RANGE,
    content,
    fetch,
    left,
    put,
    ranges,
    refusal,
    run_child,
    stopped_after,
)


def test_files_come_whole_in_ranges_each_byte_once_and_a_second_call_asks_nothing(gcs, here, caplog):
    caplog.set_level(logging.INFO)
    files = [put(gcs, here, f"{n}.gz", size) for n, size in enumerate((1, 999, 1000, 1001, 4321, 2500))]
    fetch(files, here)
    assert [file.local.read_bytes() for file in files] == [content(gcs, file) for file in files]
    assert left(here) == sorted(file.local.name for file in files)
    assert ranges(gcs, "4.gz") == [(0, 999), (1000, 1999), (2000, 2999), (3000, 3999), (4000, 4320)]
    assert gcs.sent == {file.local.name: file.size for file in files}
    assert caplog.messages[0] == (
        f"pong: needed 6 files (9.8 kB); here already 0 files (0 B); to download 6 files (9.8 kB), "
        f"from gs://{BUCKET} to {here}"
    )
    before = len(gcs.log)
    fetch(files, here)
    assert len(gcs.log) == before
    assert "here already 6 files (9.8 kB); to download 0 files (0 B)" in caplog.messages[-1]


def test_a_file_with_another_size_than_listed_is_replaced_and_what_is_whole_is_left_alone(gcs, here):
    old, whole = put(gcs, here, "old.gz", 2000), put(gcs, here, "whole.gz", 500)
    here.mkdir()
    old.local.write_bytes(b"an older one")
    whole.local.write_bytes(bytes(500))  # of the listed size
    fetch([old, whole], here)
    assert old.local.read_bytes() == content(gcs, old)
    assert whole.local.read_bytes() == bytes(500)
    assert gcs.sent == {"old.gz": 2000}


def test_the_same_file_asked_for_twice_comes_once(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    fetch([file, file], here)
    assert gcs.sent == {"a.gz": 3500}


@pytest.mark.parametrize("bytes_before", [0, 1, 700])
def test_a_connection_that_drops_in_the_middle_costs_only_the_range_it_was_in(gcs, here, bytes_before):
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", drop=bytes_before, skip=2)
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert [start for start, _ in ranges(gcs, "a.gz")] == [0, 1000, 2000, 2000, 3000]
    assert gcs.sent["a.gz"] == 3500 + bytes_before


def test_two_processes_that_want_the_same_files_do_not_download_them_twice(gcs, here):
    files = [put(gcs, here, f"{n}.gz", 20_000 + n, crc32c=None) for n in range(4)]
    children = [run_child(gcs, here, files) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert [file.local.read_bytes() for file in files] == [content(gcs, file) for file in files]
    assert gcs.sent == {file.local.name: file.size for file in files}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_fails_for_a_moment_is_asked_again(gcs, here, status, caplog):
    file = put(gcs, here, "a.gz", 2500)
    gcs.fail("GET a.gz", status=status, times=remote.TRIES - 1, skip=1)
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert len(gcs.log) == 3 + remote.TRIES - 1
    assert f"try 2 of {remote.TRIES}" in caplog.text
    assert "at byte 1,000 of 2,500" in caplog.text


def test_a_server_that_keeps_failing_ends_with_file_byte_tries_and_answer_and_what_came_is_kept(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    fault = gcs.fail("GET a.gz", status=503, times=1000, skip=2)
    message = refusal([file], here)
    for said in (
        f"{BUCKET}/a.gz at byte 2,000 of 3,500",
        f"failed {remote.TRIES} times",
        "told to fail, 503",
        "is kept",
    ):
        assert said in message
    assert len(gcs.log) == 2 + remote.TRIES
    assert file.part.read_bytes() == content(gcs, file)[:2000]
    fault.times = 0
    fetch([file], here)
    assert gcs.sent["a.gz"] == 3500


@pytest.mark.parametrize(("status", "said"), [(401, "401"), (403, "Forbidden"), (400, "400"), (416, "416")])
def test_a_server_that_refuses_is_asked_once(gcs, here, status, said):
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", status=status, times=1000)
    message = refusal([file], here)
    assert "failed once" in message
    assert said in message
    assert len(gcs.log) == 1


def test_a_file_that_vanishes_after_it_was_listed_is_named(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", status=404, skip=1)
    message = refusal([file], here)
    assert f"{BUCKET}/a.gz is listed with 3,500 bytes, but gs://{BUCKET} has it no longer" in message
    assert "byte 1,000" in message


def test_a_connection_that_stalls_ends(gcs, here, monkeypatch):
    monkeypatch.setattr(remote, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(remote, "TRIES", 2)
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", stall=100, skip=1, times=1000)
    message = refusal([file], here)
    assert "at byte 1,000 of 3,500" in message
    assert "failed 2 times, at last with FSTimeoutError" in message
    assert file.part.stat().st_size == 1000


def test_a_connection_that_stalls_once_goes_on(gcs, here, monkeypatch):
    monkeypatch.setattr(remote, "STALL_SECONDS", 0.2)
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", stall=100, skip=1)
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)


def test_short_answers_are_taken_for_what_they_hold(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", short=300, skip=1)
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert [start for start, _ in ranges(gcs, "a.gz")] == [0, 1000, 1300, 2300, 3300]
    assert gcs.sent["a.gz"] == 3500


def test_empty_answers_end_in_an_error(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", short=0, skip=1, times=1000)
    assert "0 bytes came where 1,000 were asked for" in refusal([file], here)
    assert len(gcs.log) == 1 + remote.TRIES


def test_a_server_that_knows_no_ranges_is_refused(gcs, here):
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", ranged=False, times=1000)
    assert "3,500 bytes came where 1,000 were asked for" in refusal([file], here)


def test_a_file_that_was_damaged_on_the_way_comes_once_more_from_the_beginning(gcs, here, caplog):
    file = put(gcs, here, "a.gz", 3500)
    gcs.fail("GET a.gz", flip=True, skip=2)
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)
    assert gcs.sent["a.gz"] == 2 * 3500
    assert "it is downloaded once more" in caplog.text
    assert left(here) == ["a.gz"]


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ({"md5": bytes(16)}, f"instead of {bytes(16).hex()}"),
        ({"md5": bytes(16), "crc32c": None}, "MD5"),
        ({"crc32c": 0xABC, "md5": None}, "instead of 00000abc"),
        ({"crc32c": 0xABC}, "CRC32C"),
    ],
)
def test_a_file_with_other_bytes_than_listed_comes_twice_then_is_refused_and_removed(gcs, here, listed, said):
    file = put(gcs, here, "a.gz", 3500, **listed)
    message = refusal([file], here)
    assert f"{BUCKET}/a.gz of gs://{BUCKET} came twice with other bytes than are listed" in message
    assert said in message
    assert gcs.sent["a.gz"] == 2 * 3500
    assert left(here) == []


def test_without_checksums_in_the_listing_the_size_is_all_that_is_verified(gcs, here):
    file = put(gcs, here, "a.gz", 3500, md5=None, crc32c=None)
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)


def test_one_file_that_fails_ends_the_call_and_what_is_whole_does_not_come_again(gcs, here):
    files = [put(gcs, here, f"{n}.gz", 2000 + n) for n in range(12)]
    fault = gcs.fail("GET 3.gz", status=403, times=1000)
    assert "3.gz" in refusal(files, here)
    fault.times = 0
    fetch(files, here)
    assert [file.local.read_bytes() for file in files] == [content(gcs, file) for file in files]
    assert gcs.sent == {file.local.name: file.size for file in files}


def test_a_disk_that_is_too_small_is_noticed_before_the_first_byte(gcs, here):
    files = [put(gcs, here, "a.gz", 3500), put(gcs, here, "b.gz", 100, size=10**15)]
    message = refusal(files, here)
    assert f"pong needs 1010.0 TB more below {here}" in message
    assert re.search(r"that disk has .*B free\. Nothing was written", message)
    assert "source.cache=FOLDER" in message
    assert gcs.log == []
    assert left(here) == []


def test_what_came_before_is_no_part_of_the_space_that_is_needed(gcs, here, caplog):
    caplog.set_level(logging.INFO)
    file = put(gcs, here, "a.gz", 3500)
    stopped_after(gcs, here, file, 2)
    fetch([file], here)
    assert "to download 1 file (3.5 kB)" in caplog.messages[-1]
    assert "(2.0 kB of them came before)" in caplog.messages[-1]


def test_checksums_that_cannot_be_verified_are_noticed_before_the_first_byte(gcs, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)  # as where it is not installed
    message = refusal([put(gcs, here, "a.gz", 3500)], here)
    assert "pip install 'repertoire[gcs]'" in message
    assert gcs.log == []


def test_an_empty_file_is_refused(gcs, here):
    assert f"{BUCKET}/a.gz of gs://{BUCKET} is listed with 0 bytes" in refusal([put(gcs, here, "a.gz", 0)], here)


def test_a_file_that_was_uploaded_compressed_comes_as_it_is_stored(gcs, here):
    gcs.encoding = "gzip"
    file = put(gcs, here, "a.gz", 3500)
    fetch([file], here)
    assert file.local.read_bytes() == content(gcs, file)


def test_files_of_a_file_system_without_checksums_come_too(here):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/downloads/a.gz", bytes(range(250)) * 10)
    file = RemoteFile("/downloads/a.gz", 2500, here / "a.gz")
    download(connect("memory://downloads", "source.root"), [file], here, "pong", "source.cache")
    assert file.local.read_bytes() == bytes(range(250)) * 10
    memory.rm("/downloads", recursive=True)


FAULTS = st.builds(
    Fault,
    pattern=st.just("GET"),
    status=st.sampled_from([0, 0, 0, 500, 503]),
    drop=st.none() | st.integers(0, 2 * RANGE),
    short=st.none() | st.integers(0, RANGE),
    flip=st.booleans(),
    skip=st.integers(0, 8),
)


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(1, 5 * RANGE), min_size=1, max_size=5), faults=st.lists(FAULTS, max_size=3))
def test_whatever_goes_wrong_on_the_way_a_file_with_its_name_is_right(sizes, faults):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "bucket").mkdir()
        here = Path(folder) / "here"
        with serving(Path(folder) / "bucket") as gcs:
            patch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
            files = [put(gcs, here, f"{n}.gz", size) for n, size in enumerate(sizes)]
            gcs.faults = [Fault(**vars(fault)) for fault in faults]
            for _ in range(5):  # a call may end in an error; then the same one goes on
                try:
                    fetch(files, here)
                    break
                except InvalidInput:
                    whole = [file for file in files if file.local.exists()]
                    assert all(file.local.read_bytes() == content(gcs, file) for file in whole)
            assert [file.local.read_bytes() for file in files] == [content(gcs, file) for file in files]
            assert left(here) == sorted(file.local.name for file in files)
