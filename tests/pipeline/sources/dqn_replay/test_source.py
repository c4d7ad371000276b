"""The source as a whole: its contract, where its files may lie, games, runs and settings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import IdentityMismatch, InvalidInput
from pipeline.sources.dqn_replay.source import DqnReplaySource
from tests import dqn_replay_files as files
from tests.contracts.bulk_source import BulkSourceContract
from tests.dqn_replay_files import FULL_ACTIONS, ReplayRun, Wanted, played_run
from tests.pipeline.sources.dqn_replay.readings import check, check_reading, numbers, random_lengths, stored


class TestDqnReplay(BulkSourceContract):
    domain, task = "atari", "pong"

    def write(self, folder: Path) -> None:
        played_run(80, [*random_lengths(11, 9, 40), 170, 3, 9], unfinished=True).write_bucket(folder)

    def source(self, folder: Path) -> DqnReplaySource:
        return DqnReplaySource(root=str(folder))


def test_the_cache_of_d4rl_atari_is_read_checkpoint_by_checkpoint():
    run = played_run(60, random_lengths(5, 14, 30), unfinished=True)
    assert not run.cycles_lost
    wanted = files.expected_per_shard(run, numbers(run))
    assert wanted != files.expected_chronological(run, numbers(run))
    check_reading(run, wanted, cache=True)
    check_reading(run, files.expected_upstream(run, range(1, 51)), cache=True, selection="upstream")


def test_the_root_may_be_the_bucket_or_its_folder_dqn_or_a_url(whole_run: tuple[ReplayRun, Path], tmp_path: Path):
    _, folder = whole_run
    roots = [folder, folder / "dqn", f"{folder}/dqn/", f"file://{folder}", f"file://{folder}/dqn"]
    chose = {"quality": "random", "num_slices": 3}
    artifacts = [stored(root, tmp_path / str(i), cache=str(tmp_path / "c"), **chose) for i, root in enumerate(roots)]
    assert len({artifact.manifest.digest for artifact in artifacts}) == 1
    assert len(EpisodeDataset.of(artifacts[0])) > 1


@pytest.mark.parametrize("game", sorted(FULL_ACTIONS))
def test_actions_are_the_games_own_with_the_table_to_the_joystick_beside_them(game: str):
    run = played_run(40, random_lengths(8, 6, 20), actions=len(FULL_ACTIONS[game]))
    check_reading(run, files.expected_chronological(run, numbers(run)), game=game)


@pytest.mark.parametrize(
    ("task", "folder"),
    [
        ("upndown", "UpNDown"),
        ("mspacman", "MsPacman"),
        ("jamesbond", "Jamesbond"),
        ("riverraid", "Riverraid"),
        ("kungfumaster", "KungFuMaster"),
        ("montezumarevenge", "MontezumaRevenge"),
        ("journeyescape", "JourneyEscape"),
        ("bankheist", "BankHeist"),
        ("namethisgame", "NameThisGame"),
    ],
)
def test_games_are_found_under_the_names_of_the_bucket(tmp_path: Path, task: str, folder: str):
    run = played_run(40, [5, 9, 30], actions=6)
    run.write_bucket(tmp_path, folder, run=3)
    assert EpisodeDataset.of(stored(tmp_path, tmp_path / "outputs", task, run=3)).lengths.tolist() == [5, 9, 30]


def test_runs_are_kept_apart(tmp_path: Path):
    one, two = played_run(40, [5, 9, 30], seed=1), played_run(40, [8, 2, 30], seed=2)
    one.write_bucket(tmp_path / "files", run=1)
    two.write_bucket(tmp_path / "files", run=2)
    check(stored(tmp_path / "files", tmp_path / "one"), files.expected_chronological(one, [0, 1]))
    check(stored(tmp_path / "files", tmp_path / "two", run=2), files.expected_chronological(two, [0, 1]))


@pytest.mark.parametrize(("task", "run", "says"), [("breakout", 1, "Breakout"), ("pong", 4, "4")])
def test_a_game_or_run_that_is_not_there(small: tuple[ReplayRun, Path], tmp_path: Path, task: str, run: int, says: str):
    with pytest.raises(InvalidInput, match=says) as caught:
        stored(tmp_path / "files", tmp_path / "outputs", task=task, run=run)
    assert str(tmp_path / "files") in str(caught.value)


@pytest.mark.parametrize("task", ["defender", "surround"])
def test_games_that_the_dataset_lacks_are_refused(small: tuple[ReplayRun, Path], tmp_path: Path, task: str):
    with pytest.raises(InvalidInput, match=task):
        stored(tmp_path / "files", tmp_path / "outputs", task)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("quality", "best"),
        ("selection", "newest"),
        ("rows", "dirty"),
        ("edges", "blur"),
        ("overflow", "wrap"),
        ("num_slices", 0),
        ("max_episodes", 0),
        ("max_transitions", -1),
        ("run", 0),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    small: tuple[ReplayRun, Path], tmp_path: Path, setting: str, value: Any
):
    with pytest.raises(InvalidInput, match=setting):
        stored(tmp_path / "files", tmp_path / "outputs", **{setting: value})


@pytest.mark.parametrize(
    "change",
    [
        {"run": 2},
        {"quality": "expert", "num_slices": 2},
        {"edges": "drop"},
        {"rows": "upstream"},
        {"selection": "upstream"},
        {"max_transitions": 100},
    ],
)
def test_other_settings_are_another_dataset(
    digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, change: dict[str, Any]
):
    folder, _, _ = digest_run
    stored(folder, tmp_path, episodes=2)
    files.played_run(40, [5, 9, 30]).write_bucket(tmp_path / "more", run=2)
    with pytest.raises(IdentityMismatch, match=r"source\.(run|checkpoints|edges|rows|max_transitions)"):
        stored(tmp_path / "more" if "run" in change else folder, tmp_path, episodes=2, **change)


@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_a_disk_that_is_too_small_is_told_before_anything_is_read(
    small: tuple[ReplayRun, Path], tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=50)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InvalidInput, match=r"rows need about .*B as storage.* 50 B are free in .*paths\.root"):
        stored(tmp_path / "files", Workspace(str(tmp_path / "outputs"), storage))
    assert not list((tmp_path / "outputs").rglob("job.json"))
