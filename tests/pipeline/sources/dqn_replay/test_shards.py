"""Checkpoints that several jobs read: the same dataset, whatever the split, the limits and the deaths in between."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.pieces import pieces_of
from pipeline.campaign.stage import PiecesMade
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.workspace import Workspace
from pipeline.errors import IdentityMismatch, InvalidInput
from pipeline.sources.dqn_replay.source import DqnReplaySource
from stages import ingest
from tests.dqn_replay_files import ReplayRun, Wanted
from tests.pipeline.sources.dqn_replay.readings import PROPERTY, check, domain, stored

NAME = "dqn-replay-v1"


class Killed(Exception):
    """A job that ends where it stands."""


class Dying(DqnReplaySource):
    """Its reader is killed when the dataset has taken some parts."""

    most = 0

    def parts(self, *asked: Any) -> Generator[StoredPart, None, None]:
        for number, part in enumerate(super().parts(*asked)):
            if number == self.most:
                raise Killed
            yield part


def shard(root: Path, place: Workspace, shards: str | int, **given: Any) -> Artifact | PiecesMade | None:
    amount = {"episodes": given.pop("episodes", None), "states": given.pop("states", None)}
    return ingest.run(
        domain=domain(),
        task="pong",
        source=DqnReplaySource(root=str(root), **given),
        workspace=place,
        dataset=NAME,
        workers=1,
        force=False,
        shards=shards,
        **amount,
    )


def dies(root: Path, place: Workspace, most: int, **given: Any) -> None:
    source = Dying(root=str(root), **given)
    source.most = most
    with pytest.raises(Killed):
        ingest.run(
            domain=domain(), task="pong", source=source, workspace=place, dataset=NAME, episodes=None, states=None,
            workers=1, force=False,
        )  # fmt: skip


def final_place(place: Workspace) -> Path:
    return place.root / "atari" / "pong" / "episodes" / (NAME + place.storage.suffix)


ranges = st.tuples(st.integers(0, 11), st.integers(0, 11)).map(lambda ends: f"{min(ends)}-{max(ends)}")


@settings(**PROPERTY, deadline=None, max_examples=2)
@given(jobs=st.lists(st.one_of(ranges, ranges, st.integers(0, 5)), max_size=4), damaged=st.booleans())
def test_any_split_of_checkpoints_and_any_death_give_the_same_dataset(
    digest_run: tuple[Path, str, list[Wanted]],
    tmp_path_factory: pytest.TempPathFactory,
    jobs: list[str | int],
    damaged: bool,
):
    root, digest, wanted = digest_run
    place = Workspace(str(tmp_path_factory.mktemp("split")), "bin")
    for job in jobs:
        if isinstance(job, int):
            dies(root, place, job)
        else:
            shard(root, place, job)
    for path in pieces_of(final_place(place)).rglob("*.bin") if damaged else ():
        path.write_bytes(bytes(path.stat().st_size))
    made = stored(root, place)
    assert made.manifest.digest == digest
    check(made, wanted)
    assert not pieces_of(made.path).exists()


def test_a_job_says_which_checkpoints_are_there_and_reads_no_frames_of_others(
    small: tuple[ReplayRun, Path], tmp_path: Path
):
    _, logs = small
    root, place = tmp_path / "files", Workspace(str(tmp_path), "bin")
    alone = stored(root, tmp_path / "alone")
    frames = {number: logs / f"$store$_observation_ckpt.{number}.gz" for number in range(3)}
    whole = frames[2].read_bytes()
    frames[2].write_bytes(b"damaged".ljust(len(whole), b"."))
    first = shard(root, place, "0-1")
    assert isinstance(first, PiecesMade)
    assert "2 of 3 checkpoints there (0-1), 1 missing (2). Join them, and make the rest" in first.line
    frames[2].write_bytes(whole)
    for number in (0, 1):
        frames[number].write_bytes(b"damaged".ljust(frames[number].stat().st_size, b"."))
    assert stored(root, place).manifest.digest == alone.manifest.digest
    assert isinstance(shard(root, place, 2), Artifact)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_transitions": 100},
        {"max_transitions": 100, "overflow": "skip"},
        {"max_episodes": 4},
        {"states": 90},
        {"num_slices": 2, "quality": "expert"},
    ],
    ids=str,
)
def test_limits_hold_across_checkpoints(
    limit_run: tuple[ReplayRun, Path, list[Wanted]], tmp_path: Path, limits: dict[str, Any]
):
    _, root, _ = limit_run
    place = Workspace(str(tmp_path / "split"), "bin")
    amount = {name: limits[name] for name in ("episodes", "states") if name in limits}
    source = {name: value for name, value in limits.items() if name not in amount}
    for shards in (2, "2-3") if "quality" in limits else (1, "1-2"):
        shard(root, place, shards, **limits)
    found = [
        ingest.run(
            domain=domain(), task="pong", source=DqnReplaySource(root=str(root), **source), workspace=each,
            dataset=NAME, workers=1, force=False, **({"episodes": None, "states": None} | amount),
        )
        for each in (place, Workspace(str(tmp_path / "alone"), "bin"))
    ]  # fmt: skip
    assert len({(each.manifest.digest, len(each.manifest.parts)) for each in found}) == 1


def test_shards_of_ingest_that_cannot_be_are_refused(small: tuple[ReplayRun, Path], tmp_path: Path):
    root, place = tmp_path / "files", Workspace(str(tmp_path / "out"), "bin")
    with pytest.raises(InvalidInput, match=r"shards=2-5: the checkpoints .* are 0-2\.[\s\S]*shards=2$"):
        shard(root, place, "2-5")
    with pytest.raises(InvalidInput, match="brings the files of all checkpoints"):
        shard(root, place, 0, download_only=True)
    with pytest.raises(InvalidInput, match=r"are 0, 2\.[\s\S]*shards=\"0-2\""):
        (root / "Pong/1/replay_logs/$store$_reward_ckpt.1.gz").rename(tmp_path / "away")
        shard(root, place, 1)


def test_two_jobs_with_other_settings_do_not_share_a_name(small: tuple[ReplayRun, Path], tmp_path: Path):
    root, place = tmp_path / "files", Workspace(str(tmp_path / "out"), "bin")
    shard(root, place, 0)
    with pytest.raises(IdentityMismatch, match=r"Pieces of [\s\S]*source\.edges: stitch there, drop asked"):
        shard(root, place, 1, edges="drop")
