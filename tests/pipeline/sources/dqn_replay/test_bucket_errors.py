"""What a listing of the bucket is refused for: names, servers and files that are not what they should be."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.remote import filesystem as remote
from pipeline.remote import retry
from pipeline.sources.dqn_replay.bucket import Bucket
from tests.gcs_server import BUCKET, serving
from tests.pipeline.sources.dqn_replay.buckets import GS, every, fill, refusal


@pytest.mark.parametrize("place", ["bucket", "folder"])
def test_a_game_or_run_that_is_not_there_is_refused_with_what_is_there(gcs, bucket, place):
    fill(gcs.folder / "dqn/Asterix/2", [0])
    fill(gcs.folder / "dqn/Asterix/10", [0])
    fill(gcs.folder / "dqn/SpaceInvaders/1", [0])
    if place == "folder":
        bucket = Bucket(str(gcs.folder), None)
    message = refusal(bucket, "Asterix", 1)
    assert "has no run 1 of Asterix. It has: 2, 10. Take one of them: source.run=2" in message
    assert "has no game Pong. It has: Asterix, SpaceInvaders." in refusal(bucket)
    assert bucket.address in message


@pytest.mark.parametrize("root", ["nothing", "file", "a" * 5_000, "nul\0"])
def test_a_root_that_is_no_folder_is_named(tmp_path, root):
    (tmp_path / "file").write_text("x")
    message = refusal(Bucket(str(tmp_path / root), None))
    assert "source.root must be a folder with Pong/1/ or dqn/Pong/1/ in it, or an address" in message
    assert f"There is no folder {tmp_path / root}." in message


def test_a_bucket_that_is_not_there_has_no_game(gcs):
    assert "has no game Pong. It has: none." in refusal(Bucket(f"gs://{BUCKET}/nothing", None))
    message = refusal(Bucket("gs://another-bucket", None))
    assert "gs://another-bucket has no game Pong" in message


def test_a_run_whose_files_have_other_names_is_refused_with_these(tmp_path):
    (tmp_path / "Pong/1").mkdir(parents=True)
    (tmp_path / "Pong/1/episodes\x1b[31m.zip").write_bytes(b"x")
    message = refusal(Bucket(str(tmp_path), None))
    assert r"only files of other names: episodes\x1b[31m.zip" in message
    assert "$store$_observation_ckpt.N.gz" in message


@pytest.mark.parametrize(
    "name",
    [
        "replay_logs/../../../../evil_ckpt.1.gz",
        "../2/replay_logs/$store$_action_ckpt.1.gz",
        "/etc/passwd",
        "replay_logs//$store$_action_ckpt.1.gz",
        "replay_logs/./$store$_action_ckpt.1.gz",
        "..",
    ],
)
def test_a_listed_name_that_leads_elsewhere_is_refused_by_name(gcs, bucket, tmp_path, name):
    fill(gcs.folder / "dqn/Pong/1", [0])
    gcs.listed[f"dqn/Pong/1/{name}"] = {"size": "5"}
    message = refusal(bucket)
    assert f"dqn/Pong/1/{name}" in message
    assert "leads out of" in message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("place", ["bucket", "folder"])
@pytest.mark.parametrize("other", ["$store$_action_ckpt.01.gz", "action_ckpt.1.gz"])
def test_a_number_that_two_files_have_is_refused(gcs, bucket, place, other):
    fill(gcs.folder / "dqn/Pong/1", [0, 1])
    (gcs.folder / "dqn/Pong/1/replay_logs" / other).write_bytes(b"another")
    message = refusal(bucket if place == "bucket" else Bucket(str(gcs.folder / "dqn"), None))
    assert "action of checkpoint 1 of Pong run 1 twice" in message
    assert f"replay_logs/{other}" in message
    assert "replay_logs/$store$_action_ckpt.1.gz" in message


@pytest.mark.parametrize("place", ["bucket", "folder"])
def test_an_empty_file_is_listed_and_refused_when_it_is_used(gcs, bucket, place):
    fill(gcs.folder / "dqn/Pong/1", [0, 1])
    (gcs.folder / "dqn/Pong/1/replay_logs/$store$_action_ckpt.1.gz").write_bytes(b"")
    bucket = bucket if place == "bucket" else Bucket(str(gcs.folder), None)
    listing = bucket.listing("Pong", 1)
    bucket.fetch(list(listing.checkpoints[0].values()), "pong")
    with pytest.raises(InvalidInput, match=r"\$store\$_action_ckpt\.1\.gz.* 0 bytes|\(0 bytes\)"):
        bucket.fetch(every(listing), "pong")


def test_a_file_of_a_folder_that_changed_after_it_was_listed_is_refused(tmp_path):
    fill(tmp_path / "Pong/1", [0])
    bucket = Bucket(str(tmp_path), None)
    files = every(bucket.listing("Pong", 1))
    files[2].local.write_bytes(b"short")
    assert bucket.missing(files) == [files[2]]
    with pytest.raises(InvalidInput, match="has no longer the"):
        bucket.fetch(files, "pong")


@pytest.mark.parametrize("listed", [{"md5Hash": "?"}, {"crc32c": "§"}])
def test_checksums_that_are_none_are_refused(gcs, bucket, listed):
    fill(gcs.folder / "dqn/Pong/1", [0])
    gcs.listed["dqn/Pong/1/replay_logs/add_count_ckpt.0.gz"] = listed
    assert "checksums of" in refusal(bucket)


def test_a_listing_that_fails_for_a_moment_is_asked_for_again(gcs, bucket):
    fill(gcs.folder / "dqn/Pong/1", [0])
    gcs.fail("LIST", status=503, times=2)
    gcs.fail("LIST", drop=20)
    assert list(bucket.listing("Pong", 1).checkpoints) == [0]
    assert len(gcs.log) == 4


def test_a_listing_that_keeps_failing_ends_with_what_the_server_said(gcs, bucket):
    gcs.fail("LIST", status=500, times=1000)
    message = refusal(bucket)
    assert f"Listing {BUCKET}/dqn/Pong/1 of {GS} failed {remote.TRIES} times" in message
    assert "told to fail, 500" in message
    assert "source.root=FOLDER" in message
    assert len(gcs.log) == remote.TRIES


def test_a_bucket_that_may_not_be_listed_is_asked_once(gcs, bucket):
    gcs.fail("LIST", status=403, times=1000)
    assert "failed once, at last with OSError: Forbidden" in refusal(bucket)


def test_a_server_that_is_not_there_is_named(bucket, monkeypatch):
    monkeypatch.setattr(retry, "PAUSE_SECONDS", 0.001)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    message = refusal(bucket)
    assert f"of {GS} failed {remote.TRIES} times" in message
    assert "127.0.0.1:1" in message


def test_a_listing_that_stalls_ends(gcs, bucket, monkeypatch):
    monkeypatch.setattr(remote, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(remote, "TRIES", 1)
    fill(gcs.folder / "dqn/Pong/1", [0])
    gcs.fail("LIST", stall=20)
    assert "failed once, at last with FSTimeoutError" in refusal(bucket)


@pytest.mark.parametrize(("game", "run"), [("../Pong", 1), ("", 1), ("Pong/1", 1), ("Pong", -1), (".", 1)])
def test_a_game_that_is_no_name_is_refused_before_anything_is_asked(tmp_path, game, run):
    assert "is no game and run" in refusal(Bucket(str(tmp_path), None), game, run)


def test_an_empty_root_is_refused():
    with pytest.raises(InvalidInput, match=r"source\.root is empty"):
        Bucket("", None)


NUMBERS = st.sampled_from(["0", "1", "01", "-1", "1e3", "٣", "1/..", "..", "1" * 30]) | st.text(max_size=3)
LISTED = st.builds(
    "{}{}{}.{}.gz{}".format,
    st.sampled_from(["replay_logs/", "replay_logs/../", "", "/", "../"]),
    st.sampled_from(["$store$_", "", "$store$_../"]),
    st.sampled_from(["action_ckpt", "reward_ckpt", "add_count_ckpt", "../../x"]),
    NUMBERS,
    st.sampled_from(["", "", "/", "/..", "\n", "\x00"]),
)


@settings(max_examples=30)
@given(names=st.lists(LISTED | st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_whatever_a_listing_says_no_file_would_be_written_outside_its_run_in_the_cache(names):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        cache = Path(folder) / "cache"
        with serving(Path(folder) / "bucket") as gcs:
            patch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
            gcs.listed = {f"dqn/Pong/1/{name}": {"size": "5"} for name in names}
            try:
                files = every(Bucket(GS, str(cache)).listing("Pong", 1))
            except InvalidInput:
                return
            assert {file.local.parent for file in files} == {cache / "Pong/1/replay_logs"}
            assert all(file.local.name.endswith(".gz") and "\n" not in file.local.name for file in files)
