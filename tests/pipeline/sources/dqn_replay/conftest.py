"""Runs whose files several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sources.dqn_replay.bucket import Bucket
from tests import dqn_replay_files as files
from tests.dqn_replay_files import ReplayRun, Wanted, played_run
from tests.pipeline.sources.dqn_replay.buckets import GS
from tests.pipeline.sources.dqn_replay.readings import check, numbers, random_lengths, stored


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReplayRun, Path]:
    """A run of 51 checkpoints, 0 to 50, in the bucket's layout."""
    run = played_run(30, random_lengths(5, 400, 24), dumps=51, cursor_at_the_end=True, seed=5)
    assert len(run.dumps) == 51
    folder = tmp_path_factory.mktemp("whole")
    run.write_bucket(folder / "dqn")
    return run, folder


@pytest.fixture(scope="session")
def limit_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReplayRun, Path, list[Wanted]]:
    """Episodes of very different lengths in three shards."""
    run = played_run(120, [9, 40, 3, 60, 12, 3, 70, 1, 33, 2, 2, 90, 5])
    assert len(run.dumps) >= 3
    folder = tmp_path_factory.mktemp("limits")
    run.write_bucket(folder)
    return run, folder, files.expected_chronological(run, numbers(run))


@pytest.fixture(scope="session")
def digest_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Wanted]]:
    """A run, and the digest of all its episodes."""
    run = played_run(80, [*random_lengths(11, 14, 40), 170, 3, 9, 20, 200, 4, 12, 7, 30], black_starts=True)
    folder = tmp_path_factory.mktemp("digests")
    run.write_bucket(folder / "files")
    wanted = files.expected_chronological(run, numbers(run))
    assert len(wanted) > 12
    artifact = stored(folder / "files", folder)
    check(artifact, wanted)
    return folder / "files", artifact.manifest.digest, wanted


@pytest.fixture
def small(tmp_path: Path) -> tuple[ReplayRun, Path]:
    """A run of three checkpoints, and the folder of its files."""
    run = played_run(40, [8, 30, 12, 9, 21, 2, 9])
    assert len(run.dumps) == 3
    return run, run.write_bucket(tmp_path / "files")


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    """The bucket of the fixture `gcs`."""
    return Bucket(GS, str(tmp_path / "cache"))
