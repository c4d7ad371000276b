"""Trees as RLHF-Blender's recorder leaves them come in as what really happened, as far as they hold it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline.episode import Episode
from pipeline.errors import InvalidInput, UnknownName
from pipeline.sources.rlhf_blender.source import BlenderSource
from tests.blender_tree import made_by_the_server
from tests.contracts.source import NamingSourceContract
from tests.rlhf_blender_files import RecordedRun, Walk, boxed, recorded, write_run

TASK = ("gym", "cartpole-v1")


def run_of(*lengths: int, **settings: Any) -> RecordedRun:
    walk = {name: settings.pop(name) for name in ("shape", "dtype", "sparse") if name in settings}
    return recorded(Walk(list(lengths), **walk), **settings)


def edit_npz(path: Path, **changed: Any) -> None:
    """Other arrays in an .npz; None takes one out."""
    with np.load(path, allow_pickle=True) as file:
        arrays = {**file, **changed}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def read(tree: Path, task: tuple[str, str] = TASK, **settings: Any) -> list[Episode]:
    return list(BlenderSource(str(tree), **settings).episodes(*task))


def quirks(tree: Path, **settings: Any) -> dict[str, int]:
    source = BlenderSource(str(tree), **settings)
    list(source.episodes(*TASK))
    return {quirk.name: quirk.count for quirk in source.quirks(*TASK)}


def require_true(episodes: list[Episode], run: RecordedRun) -> None:
    """The episodes are the steps that really happened, all but the first episode without the first one."""
    assert len(episodes) == len(run.true)
    for number, (episode, true) in enumerate(zip(episodes, run.true, strict=True)):
        began = int(number > 0)
        assert episode.length == len(true["actions"]) - began
        np.testing.assert_array_equal(episode.steps["observation"], np.stack(true["obs"][began:]))
        assert episode.steps["observation"].dtype == true["obs"][0].dtype
        np.testing.assert_array_equal(episode.steps["reward"][:-1], true["rewards"][began:])
        flat = np.asarray(true["actions"][began:], np.float32).reshape(episode.steps["action"][:-1].shape)
        np.testing.assert_array_equal(episode.steps["action"][:-1], flat)


def named_info(folder: Path, name: str) -> None:
    path = next(folder.rglob("benchmark_0.npz"))
    with np.load(path, allow_pickle=True) as file:
        infos = [each.item() | {name: 1.5} for each in file["infos"]]
    edit_npz(path, infos=boxed(infos))


class TestBlender(NamingSourceContract):
    domain, task = TASK
    arrays_named: ClassVar = {"infos": named_info}

    def write(self, folder: Path) -> None:
        write_run(folder, run_of(4, 3, 9, 2, most=5))

    def source(self, folder: Path) -> BlenderSource:
        return BlenderSource(str(folder))


@pytest.mark.parametrize("settings", [{}, {"compressed": True}, {"documented": "Mine"}, {"cumulative": True}])
def test_episodes_are_what_really_happened(tmp_path, settings):
    run = run_of(4, 3, 9, 2, most=5)
    write_run(tmp_path, run, **settings)
    episodes = read(tmp_path)
    require_true(episodes, run)
    assert [episode.end_reason for episode in episodes] == ["terminated", "terminated", "time_limit", "terminated"]
    assert [episode.truncated for episode in episodes] == [False, False, True, False]
    assert all(episode.has_final_observation for episode in episodes)
    found = quirks(tmp_path)
    assert found.pop("cumulative_rewards", 0) == (4 if "cumulative" in settings else 0)
    assert found == {"unread_folders": 1, "late_starts": 3}


def test_each_way_to_name_a_tree_gives_the_same_data(tmp_path):
    inside = write_run(tmp_path, run_of(3, 4))
    whole = BlenderSource(str(tmp_path)).identity(*TASK)
    for path in (tmp_path / "data", inside, inside.parent):
        assert BlenderSource(str(path)).identity(*TASK) == whole
        require_true(read(path), run_of(3, 4))


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_what_the_agent_said_stands_at_its_own_step(tmp_path, trained, box):
    run = run_of(4, 3, trained=trained, box=box)
    write_run(tmp_path, run, trained=trained)
    first, second = read(tmp_path)
    assert first.steps["action"].shape == ((5, 1) if box else (5,))
    assert first.steps["action"].dtype == (np.float32 if box else np.int64)
    if not trained:
        assert not [name for name in first.steps if "policy" in name]
        assert quirks(tmp_path)["no_policy_outputs"] == 2
        return
    for episode, rows in zip((first, second), run.episodes(), strict=True):
        for name in ("value", "entropy"):
            said = [row["infos"][name] for row in rows[:-1]]
            assert episode.steps[f"info/policy_{name}"].dtype == np.float32
            assert episode.steps[f"info/policy_{name}"].tolist() == [*said, 0.0]


def test_infos_stand_at_the_step_that_they_report(tmp_path):
    write_run(tmp_path, run_of(3, 4, 2))
    episodes = read(tmp_path)
    assert [episode.steps["info/lives"].tolist() for episode in episodes] == [[3, 3, 3, 0], [2, 2, 2, 0], [1, 0]]
    assert [episode.info_texts["phase"][-1] for episode in episodes] == ["end"] * 3
    assert episodes[0].steps["info/episode/l"].tolist() == [0, 0, 3, 0]
    assert episodes[0].steps["info_present/episode/l"].tolist() == [False, False, True, False]
    assert not any("terminal" in name or "TimeLimit" in name for name in episodes[0].steps)


def test_a_seed_that_the_first_row_holds_is_kept(tmp_path):
    path = write_run(tmp_path, run_of(3, 4)) / "benchmark_0.npz"
    with np.load(path, allow_pickle=True) as file:
        infos = [each.item() for each in file["infos"]]
    edit_npz(path, infos=boxed([infos[0] | {"seed": 12}, *infos[1:]]))
    assert [episode.seed for episode in read(tmp_path)] == [12, -1]


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_pictures_and_numbers_lose_the_axis_that_was_added(tmp_path, dtype):
    run = run_of(3, 2, shape=(4, 5), dtype=dtype)
    write_run(tmp_path, run)
    require_true(read(tmp_path), run)


def test_a_last_observation_that_no_info_holds_is_not_there(tmp_path):
    folder = write_run(tmp_path, run_of(3, 4))
    for path in folder.iterdir():
        with np.load(path, allow_pickle=True) as file:
            kept = [{"lives": each.item().get("lives", 3)} for each in file["infos"]]
        edit_npz(path, infos=boxed(kept))
    for episode in read(tmp_path):
        assert (episode.has_final_observation, episode.terminated, episode.end_reason) == (False, True, "terminated")
        assert not episode.steps["observation"][-1].any()
    found = quirks(tmp_path)
    assert (found["no_final_observations"], found["no_terminals"]) == (2, 2)
    assert quirks(tmp_path, infos=False)["no_infos"] == 2


def test_a_run_that_stops_without_an_end_ends_by_its_source(tmp_path):
    path = write_run(tmp_path, run_of(3, 4)) / "benchmark_1.npz"
    with np.load(path, allow_pickle=True) as file:
        infos = [each.item() for each in file["infos"]]
    infos[-1].pop("terminal_observation")
    edit_npz(path, dones=np.zeros(4, bool), infos=boxed(infos))
    last = read(tmp_path)[1]
    assert (last.terminated, last.truncated, last.end_reason, last.has_final_observation) == (
        *(False, False, "source"),
        True,
    )


def test_an_episode_of_one_row_is_left_out_and_counted(tmp_path):
    write_run(tmp_path, run_of(3, 1, 4))
    assert [episode.length for episode in read(tmp_path)] == [3, 3]
    assert BlenderSource(str(tmp_path)).count(*TASK) == 2
    assert quirks(tmp_path)["empty_episodes"] == 1


def several(tree: Path) -> None:
    write_run(tree, run_of(3), experiment=1, checkpoint="0")
    write_run(tree, run_of(4), experiment=1, checkpoint="100")
    write_run(tree, run_of(5), experiment=2, checkpoint="100")
    write_run(tree, run_of(6), env="ALE/Pong-v5", experiment=3)


def register(tree: Path, **columns: Any) -> None:
    row = {"exp_name": "Mine", "env_id": "CartPole-v1", "environment_config": "{'env_kwargs': {'gravity': 9.0}}"}
    made_by_the_server(tree, {"Experiment": row | columns})


def test_one_of_several_checkpoints_is_chosen(tmp_path):
    register(tmp_path / "tree")
    several(tmp_path / "tree")
    tree = tmp_path / "tree"
    with pytest.raises(InvalidInput) as caught:
        read(tree)
    listed = str(caught.value)
    assert "experiment 1 (Mine), checkpoint 0 of CartPole-v1: 0" in listed
    assert "experiment 2, checkpoint 100" in listed
    assert "Pong" not in listed
    assert "source.experiment=Mine source.checkpoint=0" in listed
    assert [e.length for e in read(tree, experiment="Mine", checkpoint=100)] == [4]
    assert [e.length for e in read(tree, experiment=1, checkpoint="0")] == [3]
    assert [e.length for e in read(tree, experiment=2)] == [5]
    assert [e.length for e in read(tree, ("gym", "ale-pong-v5"))] == [6]
    assert [e.length for e in read(tree, ("atari", "pong"))] == [6]
    assert [e.length for e in read(tree, ("toy", "corner"), environment="ALE/Pong-v5")] == [6]
    for wrong in ({"experiment": "Mime"}, {"experiment": 1, "checkpoint": 7}, {"environment": "CartPole-v7"}):
        with pytest.raises(UnknownName, match=r"Mine|100|CartPole-v1"):
            read(tree, **wrong)


def test_what_the_registry_says_is_kept(tmp_path):
    space = "{'label': 'Box((1,))', 'shape': (np.int64(1),), 'dtype': 'float32'}"
    register(tmp_path / "tree", framework="StableBaselines3", action_space_info=space)
    write_run(tmp_path / "tree", run_of(3, box=True))
    identity = BlenderSource(str(tmp_path / "tree")).identity(*TASK)
    assert identity["env_kwargs"] == {"gravity": 9.0}
    assert (identity["environment"], identity["framework"]) == ("CartPole-v1", "StableBaselines3")
    assert read(tmp_path / "tree")[0].steps["action"].shape == (4, 1)


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(200), b""])
def test_a_registry_that_is_none_is_passed_over_and_told(tmp_path, content):
    write_run(tmp_path, run_of(3))
    (tmp_path / "rlhfblender.db").write_bytes(content)
    assert quirks(tmp_path)["unread_registry"] == 1


def test_whole_runs_that_a_crash_left_are_counted_and_not_read(tmp_path):
    write_run(tmp_path, run_of(3))
    (tmp_path / "data" / "saved_benchmarks" / "CartPole-v1").mkdir(parents=True)
    (tmp_path / "data" / "saved_benchmarks" / "CartPole-v1" / "CartPole-v1_1_-1.npz").write_bytes(b"half")
    assert quirks(tmp_path)["left_over_runs"] == 1


def test_episodes_that_lie_in_no_tree_have_the_rewards_of_their_own_file(tmp_path):
    shutil.move(write_run(tmp_path / "tree", run_of(3, 4)), tmp_path / "alone")
    require_true(read(tmp_path / "alone", environment=None), run_of(3, 4))
    assert "no_rewards_files" in quirks(tmp_path / "alone")
