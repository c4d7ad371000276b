"""What is there of a game and run: of a bucket, a mirror, d4rl-atari's cache; and which names are let in."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.remote import filesystem as remote
from pipeline.remote import retry
from pipeline.sources.dqn_replay.bucket import FIELDS, NEEDED, Bucket, Listing, LogFile
from tests.gcs_server import BUCKET, Gcs, crc32c, serving

GS = f"gs://{BUCKET}/dqn"
NAMES = [f"$store$_{field}" for field in NEEDED] + ["add_count", "invalid_range"]
"""As the bucket has them."""


def fill(folder: Path, numbers: list[int], names: list[str] = NAMES) -> None:
    """Files as the bucket has them, in a run's folder; each with its own content."""
    (folder / "replay_logs").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        for name in names:
            (folder / "replay_logs" / f"{name}_ckpt.{number}.gz").write_bytes(f"{name} {number} ".encode() * 100)


def fill_cache(folder: Path, numbers: list[int], fields: tuple[str, ...] = NEEDED) -> None:
    """Files as d4rl-atari's cache has them, in a run's folder."""
    for number in numbers:
        (folder / str(number)).mkdir(parents=True)
        for field in fields:
            (folder / str(number) / f"{field}.gz").write_bytes(f"{field} {number}".encode())


def every(listing: Listing) -> list[LogFile]:
    return [file for fields in listing.checkpoints.values() for file in fields.values()]


def refusal(bucket: Bucket, game: str = "Pong", run: int = 1) -> str:
    with pytest.raises(InvalidInput) as caught:
        bucket.listing(game, run)
    return str(caught.value)


@pytest.fixture
def gcs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    monkeypatch.setattr(retry, "PAUSE_SECONDS", 0.001)
    with serving(tmp_path / "bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
        assert server.authorized == []
        assert server.unknown == []


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(GS, str(tmp_path / "cache"))


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


def test_the_mark_of_an_empty_folder_in_a_bucket_is_no_file(gcs, bucket):
    fill(gcs.folder / "dqn/Pong/1", [0])
    gcs.listed["dqn/Pong/1/replay_logs/"] = {"size": "0"}
    assert bucket.listing("Pong", 1).unknown == ()


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


def test_a_listing_without_checksums_has_none(gcs, bucket):
    fill(gcs.folder / "dqn/Pong/1", [0])
    gcs.listed["dqn/Pong/1/replay_logs/add_count_ckpt.0.gz"] = {"md5Hash": None}
    gcs.listed["dqn/Pong/1/replay_logs/invalid_range_ckpt.0.gz"] = {"md5Hash": None, "crc32c": None}
    fields = bucket.listing("Pong", 1).checkpoints[0]
    assert fields["add_count"].md5 is None
    assert fields["add_count"].crc32c is not None
    assert (fields["invalid_range"].md5, fields["invalid_range"].crc32c) == (None, None)


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
