"""What is there of a game and run: of a bucket, a mirror, d4rl-atari's cache; and which names are let in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline.sources.dqn_replay.bucket import FIELDS, NEEDED, Bucket, LogFile
from tests.gcs_server import BUCKET, crc32c
from tests.pipeline.sources.dqn_replay.buckets import GS, NAMES, every, fill, fill_cache, refusal


def test_one_listing_of_several_pages_gives_every_file_with_size_and_checksums(gcs, bucket, tmp_path):
    fill(gcs.folder / "dqn/Pong/1", [0, 1, 2, 10])
    fill(gcs.folder / "dqn/Pong/10", [7])
    fill(gcs.folder / "dqn/PongTwo/1", [7])
    gcs.page = 5
    listing = bucket.listing("Pong", 1)
    assert gcs.requests("") == ["LIST dqn/Pong/1/"] * 5
    assert list(listing.checkpoints) == [0, 1, 2, 10]
    assert {tuple(fields) for fields in listing.checkpoints.values()} == {FIELDS}
    assert (listing.game, listing.run, listing.layout, listing.unknown) == ("Pong", 1, "bucket", ())
    for number, fields in listing.checkpoints.items():
        for field, name in zip(FIELDS, NAMES, strict=True):
            content = f"{name} {number} ".encode() * 100
            assert fields[field] == LogFile(
                remote=f"{BUCKET}/dqn/Pong/1/replay_logs/{name}_ckpt.{number}.gz",
                size=len(content),
                local=tmp_path / "cache/Pong/1/replay_logs" / f"{name}_ckpt.{number}.gz",
                md5=hashlib.md5(content).digest(),
                crc32c=crc32c(content),
            )


def test_what_was_downloaded_is_the_bucket_over_again_and_can_be_given_as_a_root(gcs, bucket, tmp_path):
    fill(gcs.folder / "dqn/Pong/1", [0, 1])
    listing = bucket.listing("Pong", 1)
    assert bucket.missing(every(listing)) == every(listing)
    bucket.fetch(every(listing), "pong")
    assert bucket.missing(every(listing)) == []
    assert sum(gcs.sent.values()) == sum(file.size for file in every(listing))
    mirror = Bucket(str(tmp_path / "cache"), None).listing("Pong", 1)
    assert mirror.layout == "bucket"
    assert mirror.unknown == ()
    for number, fields in listing.checkpoints.items():
        for field, file in fields.items():
            assert mirror.checkpoints[number][field] == LogFile(str(file.local), file.size, file.local)
            assert (
                file.local.read_bytes() == (tmp_path / "bucket" / file.remote.removeprefix(f"{BUCKET}/")).read_bytes()
            )


def test_missing_is_what_is_absent_or_has_another_size(gcs, bucket):
    fill(gcs.folder / "dqn/Pong/1", [0])
    files = every(bucket.listing("Pong", 1))
    bucket.fetch(files, "pong")
    files[1].local.write_bytes(b"short")
    files[3].local.unlink()
    assert bucket.missing(files) == [files[1], files[3]]
    assert bucket.missing(files[:1]) == []


def test_checkpoints_come_in_order_of_their_number_incomplete_ones_as_they_are_others_are_named(gcs, bucket):
    run = gcs.folder / "dqn/Pong/1"
    fill(run, [2, 10, 9])
    (run / "replay_logs/$store$_reward_ckpt.9.gz").unlink()
    for name in ("notes.txt", "replay_logs/checkpoint", "replay_logs/add_count_ckpt.x.gz", "replay_logs/old/a.gz"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(b"x")
    listing = bucket.listing("Pong", 1)
    assert list(listing.checkpoints) == [2, 9, 10]
    assert list(listing.checkpoints[9]) == ["observation", "action", "terminal", "add_count", "invalid_range"]
    assert listing.unknown == (
        "notes.txt",
        "replay_logs/add_count_ckpt.x.gz",
        "replay_logs/checkpoint",
        "replay_logs/old/a.gz",
    )


def test_the_games_may_lie_below_dqn(gcs, tmp_path):
    fill(gcs.folder / "dqn/Pong/1", [0])
    root = f"gs://{BUCKET}/"
    listing = Bucket(root, str(tmp_path / "cache")).listing("Pong", 1)
    assert listing.checkpoints[0]["action"].remote == f"{BUCKET}/dqn/Pong/1/replay_logs/$store$_action_ckpt.0.gz"
    assert list(Bucket(str(gcs.folder), None).listing("Pong", 1).checkpoints) == [0]


@pytest.mark.parametrize("root", ["{}", "file://{}", "{}/"])
def test_a_folder_is_read_where_it_is_and_nothing_is_copied(tmp_path, root):
    fill(tmp_path / "mirror/Pong/1", [0, 3])
    bucket = Bucket(root.format(tmp_path / "mirror"), str(tmp_path / "cache"))
    listing = bucket.listing("Pong", 1)
    assert list(listing.checkpoints) == [0, 3]
    path = tmp_path / "mirror/Pong/1/replay_logs/$store$_action_ckpt.3.gz"
    assert listing.checkpoints[3]["action"] == LogFile(str(path), path.stat().st_size, path)
    assert bucket.missing(every(listing)) == []
    bucket.fetch(every(listing), "pong")
    assert not (tmp_path / "cache").exists()


def test_a_folder_of_the_home_may_be_written_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / "mirror/Pong/1", [0])
    assert list(Bucket("~/mirror", None).listing("Pong", 1).checkpoints) == [0]


def test_downloads_go_to_the_users_cache_folder_unless_another_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Bucket(GS, None).cache == tmp_path / "repertoire/dqn_replay"
    monkeypatch.setenv("HOME", "/home/anna")
    assert Bucket(GS, "~/logs").cache == Path("/home/anna/logs")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert Bucket(GS, None).cache == Path("/home/anna/.cache/repertoire/dqn_replay")


@pytest.mark.parametrize("fields", [NEEDED, FIELDS])
def test_the_cache_of_d4rl_atari_is_read_with_the_counters_where_it_has_them(tmp_path, fields):
    fill_cache(tmp_path / "Pong/1", [1, 50, 7], fields)
    listing = Bucket(str(tmp_path), None).listing("Pong", 1)
    assert listing.layout == "cache"
    assert list(listing.checkpoints) == [1, 7, 50]
    assert {tuple(files) for files in listing.checkpoints.values()} == {fields}
    assert listing.checkpoints[7]["reward"].local == tmp_path / "Pong/1/7/reward.gz"


def test_the_cache_of_d4rl_atari_in_a_bucket_is_downloaded_as_the_bucket_names_it(gcs, bucket, tmp_path):
    fill_cache(gcs.folder / "dqn/Pong/1", [4])
    listing = bucket.listing("Pong", 1)
    assert listing.layout == "cache"
    bucket.fetch(every(listing), "pong")
    path = tmp_path / "cache/Pong/1/replay_logs/$store$_terminal_ckpt.4.gz"
    assert listing.checkpoints[4]["terminal"].local == path
    assert path.read_bytes() == b"terminal 4"


def test_where_both_layouts_are_the_buckets_is_taken_and_the_other_is_named(tmp_path):
    fill(tmp_path / "Pong/1", [0])
    fill_cache(tmp_path / "Pong/1", [5], ("action",))
    listing = Bucket(str(tmp_path), None).listing("Pong", 1)
    assert (listing.layout, list(listing.checkpoints), listing.unknown) == ("bucket", [0], ("5/action.gz",))


def test_unfinished_downloads_are_no_files_of_a_listing(tmp_path):
    fill(tmp_path / "Pong/1", [0])
    for name in (".$store$_action_ckpt.1.gz.part", ".$store$_action_ckpt.1.gz.part.json", ".download.lease"):
        (tmp_path / "Pong/1/replay_logs" / name).write_bytes(b"x")
    listing = Bucket(str(tmp_path), None).listing("Pong", 1)
    assert (list(listing.checkpoints), listing.unknown) == ([0], ())


def test_any_file_system_of_fsspec_can_be_the_root(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in NAMES:
        memory.pipe(f"/mirror/Pong/1/replay_logs/{name}_ckpt.0.gz", name.encode())
    bucket = Bucket("memory://mirror", str(tmp_path))
    listing = bucket.listing("Pong", 1)
    assert tuple(listing.checkpoints[0]) == FIELDS
    bucket.fetch(every(listing), "pong")
    assert [file.local.read_bytes().decode() for file in every(listing)] == NAMES
    assert "has no run 2 of Pong. It has: 1." in refusal(bucket, run=2)
    assert "has no game Alien. It has: Pong." in refusal(bucket, "Alien")
    memory.rm("/mirror", recursive=True)


def test_the_mark_of_an_empty_folder_in_a_bucket_is_no_file(gcs, bucket):
    fill(gcs.folder / "dqn/Pong/1", [0])
    gcs.listed["dqn/Pong/1/replay_logs/"] = {"size": "0"}
    assert bucket.listing("Pong", 1).unknown == ()


def test_a_listing_without_checksums_has_none(gcs, bucket):
    fill(gcs.folder / "dqn/Pong/1", [0])
    gcs.listed["dqn/Pong/1/replay_logs/add_count_ckpt.0.gz"] = {"md5Hash": None}
    gcs.listed["dqn/Pong/1/replay_logs/invalid_range_ckpt.0.gz"] = {"md5Hash": None, "crc32c": None}
    fields = bucket.listing("Pong", 1).checkpoints[0]
    assert fields["add_count"].md5 is None
    assert fields["add_count"].crc32c is not None
    assert (fields["invalid_range"].md5, fields["invalid_range"].crc32c) == (None, None)
