"""One digest for any workers, storage, growth and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from tests.dqn_replay_files import Wanted
from tests.pipeline.sources.dqn_replay.readings import check, stored

ROOT = Path(__file__).parents[4]


CHILD = """
import sys
from pathlib import Path
from pipeline.sources.dqn_replay import job
from tests.pipeline.live.child import kill_before_change
from tests.pipeline.sources.dqn_replay.readings import stored
if __name__ == "__main__":
    job.PART_EPISODES = 4  # so that several parts are there when it is killed
    files, outputs, workers, kill_at = sys.argv[1:]
    changes = kill_before_change(int(kill_at))
    print("ready", flush=True)
    stored(files, Path(outputs), workers=int(workers))
    print(changes(), flush=True)
"""


def start(folder: Path, files: Path, outputs: Path, workers: int, kill_at: int) -> subprocess.Popen[str]:
    """A program, written into `folder`, that ingests and may kill itself before its n-th change of the file system."""
    script = folder / "killed.py"
    script.write_text(CHILD)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(files), str(outputs), str(workers), str(kill_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def changes(digest_run: tuple[Path, str, list[Wanted]], tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many changes of the file system an undisturbed run makes."""
    folder = tmp_path_factory.mktemp("calm")
    return int(start(folder, digest_run[0], folder / "outputs", 1, 0).communicate()[0].split()[-1])


@pytest.mark.parametrize(("workers", "storage"), [(1, "zarr"), (2, "bin"), (2, "zarr"), (3, "bin"), (None, "bin")])
def test_one_digest_for_any_workers_and_storage(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, workers: int | None, storage: str
):
    folder, digest, _ = digest_run
    artifact = stored(folder, Workspace(str(tmp_path), storage), workers=workers)
    assert artifact.manifest.digest == digest


@pytest.mark.parametrize("episodes", [None, 10])
def test_the_other_storage_takes_parts_and_what_is_told_of_them_over(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, episodes: int | None
):
    folder, digest, wanted = digest_run
    first = stored(folder, Workspace(str(tmp_path), "bin"))
    monkeypatch.setattr("pipeline.sources.dqn_replay.reading.run_job", None)  # would fail if a checkpoint were read
    taken = stored(folder, Workspace(str(tmp_path), "zarr"), episodes=episodes)
    check(taken, wanted[:episodes])
    if episodes is None:
        assert taken.path != first.path
        assert taken.manifest.digest == digest
        assert taken.manifest.parts == first.manifest.parts
        assert taken.manifest.counts == first.manifest.counts
        assert taken.manifest.warnings == first.manifest.warnings


@pytest.mark.parametrize("workers", [1, 2])
def test_growth_in_steps_gives_the_digest_of_one_go(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, workers: int
):
    folder, digest, wanted = digest_run
    for episodes in (3, 10):
        artifact = stored(folder, tmp_path, episodes=episodes, workers=workers)
        check(artifact, wanted[:episodes])
        assert artifact.manifest.counts["episodes"] == episodes
    grown = stored(folder, tmp_path, workers=workers)
    assert grown.built
    assert grown.manifest.digest == digest
    assert EpisodeDataset.of(grown).digest(3) == stored(folder, tmp_path / "3", episodes=3).manifest.digest


@pytest.mark.parametrize("limit", [{}, {"max_episodes": 7}, {"max_transitions": 60, "overflow": "skip"}])
def test_a_second_run_finds_the_dataset_and_builds_nothing(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, limit: dict[str, Any]
):
    folder, _, _ = digest_run
    first = stored(folder, tmp_path, **limit)
    stamps = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    second = stored(folder, tmp_path, workers=2, **limit)
    assert (first.built, second.built) == (True, False)
    assert {path: path.stat().st_mtime_ns for path in second.path.rglob("*")} == stamps


def test_a_run_that_is_killed_again_and_again_gives_the_same_digest(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, changes: int
):
    folder, digest, _ = digest_run
    for kill_at in (changes // 3, changes // 3, changes // 4):
        killed = start(tmp_path, folder, tmp_path / "stormy", 1, kill_at)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
    assert stored(folder, tmp_path / "stormy").manifest.digest == digest


@pytest.mark.parametrize("before_the_end", [0.02, 0.05, 0.08, 0.11])
def test_a_run_that_is_killed_while_it_commits_gives_the_same_digest(
    digest_run: tuple[Path, str, list[Wanted]],
    tmp_path: Path,
    changes: int,
    before_the_end: float,
):
    folder, digest, _ = digest_run
    killed = start(tmp_path, folder, tmp_path / "stormy", 1, int(changes * (1 - before_the_end)))
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert stored(folder, tmp_path / "stormy").manifest.digest == digest


def test_a_run_with_workers_that_is_killed_at_any_moment_gives_the_same_digest(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path
):
    folder, digest, _ = digest_run
    for seconds in (0.2, 0.7, 1.5):
        running = start(tmp_path, folder, tmp_path / "out", 2, 0)
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
        running.communicate()
        assert running.returncode in (0, -signal.SIGKILL)
    assert stored(folder, tmp_path / "out", workers=2).manifest.digest == digest
