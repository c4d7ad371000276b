"""run.py with the DQN Replay Dataset: a bucket on the loopback interface, a mirror, and the games that it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.dqn_replay_files import played_run
from tests.gcs_server import serving
from tests.test_run import run

INGEST = ("stage=ingest", "domain=atari", "source=dqn_replay")
EPISODES = "artifacts/atari/pong/episodes/*/manifest.json"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints of Pong."""
    folder = tmp_path_factory.mktemp("bucket")
    played_run(200, [30, 44, 61, 25, 80, 33, 50, 41, 70, 20, 35, 60]).write_bucket(folder / "dqn")
    return folder


def manifest(root: Path) -> dict[str, Any]:
    (path,) = root.glob(EPISODES)
    return json.loads(path.read_text())


@pytest.mark.slow
def test_the_bucket_is_downloaded_once_and_read_like_a_mirror(tmp_path, bucket, monkeypatch):
    with serving(bucket) as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        text = run(tmp_path / "far", *INGEST, "task=pong", "source.download_only=true")
        assert "to download" in text
        assert not list((tmp_path / "far").glob(EPISODES))
        sent = gcs.sent.total()
        text = run(tmp_path / "far", *INGEST, "task=PongNoFrameskip-v4")
        assert "Pong run 1: 3 checkpoints" in text
        assert gcs.sent.total() == sent
    assert "12 episodes" in text
    assert "36 padding rows" in text
    assert "clipped to [-1, 1]" in text
    near = tmp_path / "near"
    run(near, *INGEST, "task=pong", f"source.root={tmp_path / 'far' / 'downloads' / 'dqn_replay'}", "storage=bin")
    assert manifest(near)["digest"] == manifest(tmp_path / "far")["digest"]
    assert manifest(near)["version"] == "dqn-replay-v1"
    assert "1 artifact is whole" in run(near, "stage=verify")


@pytest.mark.slow
def test_unset_the_tasks_are_the_games_that_were_logged(tmp_path, bucket):
    text = run(tmp_path, *INGEST, "task=all", f"source.root={bucket}", status=1)
    assert "ingest atari/pong built" in text
    assert "59 failed" in text
    assert "defender" not in text


def test_limits_are_another_dataset(tmp_path, bucket):
    words = (*INGEST, "task=pong", f"source.root={bucket}")
    run(tmp_path, *words, "source.max_transitions=100")
    assert manifest(tmp_path)["counts"]["states"] == 30 + 44
    text = run(tmp_path, *words, status=1)
    assert "max_transitions" in text
    assert "dataset=dqn-replay-v2" in text
