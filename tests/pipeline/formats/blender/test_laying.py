"""Exports in a tree that may hold others: what a reader of RLHF-Blender finds there, and what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import place_in
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.formats.blender.format import BlenderFormat
from pipeline.formats.blender.registration import Registration
from pipeline.formats.exports import export_of
from tests.blender_tree import Episode, made_by_the_server, per_step, projection, sampled, step_details, table
from tests.conftest import toy_domain
from tests.contracts.one_way import written

NAME = "toy-corner_trained_experiment"


@pytest.fixture(scope="module")
def workspace(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("laid") / "outputs"
    shutil.copytree(drawn, root)
    return Workspace(str(root))


def laid(workspace: Workspace, tree: Path, *, form: dict[str, Any] | None = None, **settings: Any) -> Artifact:
    """Four episodes of toy/corner in a tree; `form` are settings of the form, others are those of `written`."""
    known = ("task", "episodes", "link", "out")
    registration = Registration(**{name: value for name, value in settings.items() if name not in known})
    given = {"out": str(tree), "task": "corner", **{name: settings[name] for name in known if name in settings}}
    return written(BlenderFormat(**(form or {}), registration=registration), workspace, **given)


def contents(tree: Path) -> dict[str, bytes]:
    """The files, without the registry, whose bytes depend on the time."""
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*.*") if path.suffix != ".db"}


def test_the_server_finds_all_that_was_laid(workspace, tmp_path):
    artifact = laid(workspace, tmp_path)
    dataset = EpisodeDataset.of(workspace.dataset("toy", "corner", "scripted-v1"))
    (project,), (experiment,), (environment,) = (
        table(tmp_path, name) for name in ("Project", "Experiment", "Environment")
    )
    assert project["project_name"] == "RLHF-Blender"
    assert (project["project_environments"], project["project_experiments"]) == (["toy-corner"], [NAME])
    assert (experiment["exp_name"], experiment["env_id"], experiment["checkpoint_list"]) == (NAME, "toy-corner", ["-1"])
    assert "T+1 rows" in experiment["exp_comment"]
    assert "ones" in experiment["exp_comment"]
    assert environment["env_name"] == environment["registration_id"] == "toy-corner"
    assert environment["action_space_info"]["label"] == "Discrete((5,))"
    assert environment["action_space_info"]["shape"] == (5,)
    episodes = sampled(tmp_path, experiment, "toy-corner")
    assert [each.episode_num for each in episodes] == [0, 1, 2, 3]
    for episode, own in zip(episodes, dataset, strict=True):
        assert per_step(tmp_path, episode, "rewards").tolist() == [0, *own.steps["reward"][:-1]]
        assert len(per_step(tmp_path, episode, "uncertainty")) == own.rows
        assert (tmp_path / "data/thumbnails" / episode.folder / f"{episode.episode_num}.jpg").is_file()
        details = step_details(tmp_path, episode, 1)
        assert (details["action"], details["reward"]) == (own.steps["action"][1], own.steps["reward"][0])
    points = projection(tmp_path, experiment, "-1")
    rows = [episode.rows for episode in dataset]
    assert points["projection_array"].shape == (sum(rows), 2)
    assert points["episode_indices"].tolist() == np.repeat(range(4), rows).tolist()
    assert points["dones"].sum() == 4
    assert set(points["labels"]) == set(range(len(points["centroids"])))
    assert str(tmp_path) in (artifact.laid or "")


def test_the_same_export_again_changes_nothing(workspace, tmp_path):
    laid(workspace, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert not laid(workspace, tmp_path).built
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    laid(workspace, tmp_path, clusters=2)
    (experiment,) = table(tmp_path, "Experiment")
    assert len(projection(tmp_path, experiment, "-1")["centroids"]) == 2


def test_other_data_of_a_checkpoint_are_refused_or_replaced_and_more_episodes_are_added(workspace, tmp_path):
    laid(workspace, tmp_path, episodes=2)
    two = contents(tmp_path)
    laid(workspace, tmp_path)
    four = contents(tmp_path)
    kept = {name for name in two if not name.endswith(("experiment.json", "PCA.npz"))}
    assert all(four[name] == two[name] for name in kept)
    with pytest.raises(InvalidInput, match=r"(?s)other data of the checkpoint -1.*format\.replace=true"):
        laid(workspace, tmp_path, episodes=2)
    assert contents(tmp_path) == four
    laid(workspace, tmp_path, episodes=2, replace=True)
    assert contents(tmp_path) == two
    video = next(tmp_path.rglob("1.mp4"))
    video.write_bytes(b"somebody else's")
    with pytest.raises(InvalidInput, match=r"1\.mp4 is not of this export"):
        laid(workspace, tmp_path, episodes=2)
    laid(workspace, tmp_path, episodes=2, replace=True)
    assert contents(tmp_path) == two


def test_checkpoints_of_an_experiment_share_its_id_and_the_axes_of_their_points(workspace, tmp_path):
    for checkpoint, episodes in ((100000, 2), (50000, 1), (0, 3)):
        laid(workspace, tmp_path, form={"checkpoint": checkpoint}, episodes=episodes, experiment="Mine", project="P")
    (experiment,), (project,) = table(tmp_path, "Experiment"), table(tmp_path, "Project")
    assert experiment["checkpoint_list"] == ["0", "50000", "100000"]
    assert (project["project_name"], project["project_experiments"]) == ("P", ["Mine"])
    found = sampled(tmp_path, experiment, "toy-corner")
    assert [each.checkpoint_step for each in found] == [0, 0, 0, 50000, 100000, 100000]
    places = [projection(tmp_path, experiment, each)["projection_array"] for each in experiment["checkpoint_list"]]
    rows = len(places[1])
    for each in places:  # they begin with the same episode
        np.testing.assert_array_equal(each[:rows], places[1])


def test_the_same_episodes_under_another_number_are_told(workspace, tmp_path, caplog):
    laid(workspace, tmp_path, form={"checkpoint": 0}, episodes=2)
    assert "same episodes" not in caplog.text
    laid(workspace, tmp_path, form={"checkpoint": 100}, episodes=1)
    assert "checkpoint 100 of the experiment toy-corner_trained_experiment has the same episodes as" in caplog.text


def test_an_experiment_is_of_one_environment(workspace, tmp_path):
    laid(workspace, tmp_path, experiment="Mine")
    before = contents(tmp_path)
    with pytest.raises(InvalidInput, match=r"Mine .* belongs to the environment toy-corner, and this one is toy-maze"):
        laid(workspace, tmp_path, task="maze", experiment="Mine")
    assert contents(tmp_path) == before
    laid(workspace, tmp_path, task="maze", project="Other", display_name="A maze", description="With walls.")
    assert [each["id"] for each in table(tmp_path, "Experiment")] == [1, 2]
    corner, maze = table(tmp_path, "Environment")
    assert (maze["env_name"], maze["description"], maze["tags"]) == ("toy-maze", "A maze. With walls.", ["A maze"])
    assert (corner["description"], corner["tags"]) == ("", [])
    assert [each["project_name"] for each in table(tmp_path, "Project")] == ["RLHF-Blender", "Other"]


def test_an_id_with_a_slash_is_spelt_as_each_reader_has_it(workspace, tmp_path):
    laid(workspace, tmp_path, form={"env_id": "ALE/Pong-v5"})
    (experiment,), (environment,) = table(tmp_path, "Experiment"), table(tmp_path, "Environment")
    assert experiment["env_id"] == environment["env_name"] == "ALE/Pong-v5"
    assert len(sampled(tmp_path, experiment, "ALE/Pong-v5")) == 4
    assert (tmp_path / "data/episodes/ALE-Pong-v5/ALE-Pong-v5_1_-1/benchmark_0.npz").is_file()
    assert (tmp_path / "data/saved_projections/ALE_Pong-v5_1_-1_PCA.npz").is_file()
    laid(workspace, tmp_path, form={"env_id": "mine/Pong-v5"})
    assert len(sampled(tmp_path, table(tmp_path, "Experiment")[1], "mine/Pong-v5")) == 4
    with pytest.raises(InvalidInput, match="cannot be the name of a folder"):
        laid(workspace, tmp_path, form={"env_id": "../Pong"})


def test_the_documented_layout_names_files_as_the_manual(workspace, tmp_path):
    artifact = laid(workspace, tmp_path, layout="documented", experiment="My/experiment")
    sub = Path("My-experiment/toy-corner_1_-1")
    for kind, suffix in (("renders", "mp4"), ("episodes", "npz"), ("rewards", "npy"), ("uncertainty", "npy")):
        assert sorted(path.name for path in (tmp_path / "data" / kind / sub).iterdir()) == [
            f"{n}.{suffix}" for n in range(4)
        ]
    with (
        Image.open(tmp_path / "data/thumbnails" / sub / "0.png") as png,
        Image.open(place_in(artifact) / "thumbnails/0.jpg") as jpg,
    ):
        assert png.format == "PNG"
        np.testing.assert_array_equal(np.asarray(png), np.asarray(jpg))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    laid(workspace, tmp_path, layout="documented", experiment="My/experiment")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_files_of_the_store_get_second_names(workspace, tmp_path):
    artifact = laid(workspace, workspace.root.parent / "linked", link=True)
    video = workspace.root.parent / "linked/data/renders/toy-corner/toy-corner_1_-1/0.mp4"
    assert video.samefile(place_in(artifact) / "renders/0.mp4")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("environment", {"form": {"env_id": "x" * 250}}),
        ("experiment", {"layout": "documented", "experiment": "ü" * 110}),
    ],
)
def test_a_name_that_no_file_can_have_is_refused_before_anything_is_written(workspace, tmp_path, name, settings):
    with pytest.raises(InvalidInput, match=rf"name of the {name} is too long for files.* at most 200"):
        laid(workspace, tmp_path / "tree", **settings)
    assert not (tmp_path / "tree").exists()


def test_places_where_no_tree_can_be_are_refused(workspace, tmp_path):
    (tmp_path / "file").touch()
    for out, message in (
        ("gs://bucket/tree", "is an address"),
        (str(tmp_path / "file"), "is a file"),
        (str(workspace.root / "tree"), "lie one inside the other"),
    ):
        with pytest.raises(InvalidInput, match=message):
            laid(workspace, tmp_path, out=out)


def test_data_of_a_lost_registry_are_not_written_over(workspace, tmp_path):
    laid(workspace, tmp_path, task="corner")
    (tmp_path / "rlhfblender.db").unlink()
    laid(workspace, tmp_path)  # the very same files
    (tmp_path / "rlhfblender.db").unlink()
    before = contents(tmp_path)
    with pytest.raises(InvalidInput, match="other data"):
        laid(workspace, tmp_path, episodes=2)
    assert contents(tmp_path) == before


def test_what_the_server_has_written_stays_as_it_is(workspace, tmp_path):
    tree, theirs = tmp_path / "tree", "data/episodes/toy-corner/toy-corner_1_-1"
    space = "{'label': 'Discrete((np.int64(5),))', 'shape': (np.int64(5),), 'dtype': 'int64', 'labels': {'0': 'rest'}}"
    rows = {
        "Project": {"project_name": "Theirs", "created_timestamp": 5, "project_experiments": "['Mine']"},
        "Environment": {"env_name": "toy-corner", "registration_id": "toy-corner", "action_space_info": space},
        "Experiment": {
            "exp_name": "Mine", "env_id": "toy-corner", "environment_config": "{'env_kwargs': {}}", "pid": 7,
            "checkpoint_list": "['-1', '100000']", "framework": "random",
        },
    }  # fmt: skip
    made_by_the_server(tree, rows)
    (tree / theirs).mkdir(parents=True)
    obs, infos = np.random.default_rng(0).random((6, 9), np.float32), np.array([{"a": 1}] * 6, object)
    dones, actions = np.arange(6) == 5, np.zeros(6, np.int64)
    np.savez(tree / theirs / "benchmark_0.npz", obs=obs, infos=infos, dones=dones, actions=actions)
    before = contents(tree)
    with pytest.raises(InvalidInput, match=r"benchmark_0.npz is not of this export"):
        laid(workspace, tree, experiment="Mine")
    laid(workspace, tree, experiment="Mine", form={"checkpoint": 0})
    assert {name: contents(tree)[name] for name in before} == before
    with sqlite3.connect(tree / "rlhfblender.db") as connection:
        for name, row in rows.items():
            query = f"SELECT {', '.join(row)} FROM {name}"
            stored = dict(zip(row, *connection.execute(query).fetchall(), strict=True))
            changed = {"checkpoint_list": "['-1', '0', '100000']"} if name == "Experiment" else {}
            assert stored == row | changed
        assert connection.execute("SELECT project_environments FROM Project").fetchall() == [("['toy-corner']",)]
    for checkpoint, rows_there in (("-1", 6), ("0", None)):
        points = projection(tree, {"id": 1, "env_id": "toy-corner"}, checkpoint)["projection_array"]
        assert rows_there in (None, len(points))


def laying(workspace: Workspace, tree: Path, task: str = "corner", **settings: Any) -> Callable[[], object]:
    """What lays an export of the store in a tree, for a process that must not open the store."""
    form = BlenderFormat(registration=Registration(**settings))
    artifact = written(form, workspace, task=task)
    export = export_of(toy_domain(), [task], workspace, ("scripted-v1", None), form, None)
    out = form.out(str(tree), export.data, False)
    files = {name.removeprefix("data/"): record for name, record in artifact.manifest.files.items()}
    return lambda: out.lay(artifact.path / "data", files, "")


def in_child(work) -> int:
    """Run in a process of its own; returns its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def ended(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("moment", [0, 9, 20, 21])
def test_a_kill_in_the_middle_is_repaired_by_the_same_command(workspace, tmp_path, moment):
    laid(workspace, tmp_path / "whole")
    tree = tmp_path / "killed"
    lay = laying(workspace, tree)

    def work() -> None:
        replace, left = os.replace, [moment]

        def replace_or_die(*names: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*names)

        os.replace = replace_or_die
        lay()

    assert ended(in_child(work)) == -signal.SIGKILL
    listed = [checkpoint for each in table(tree, "Experiment") for checkpoint in each["checkpoint_list"]]
    assert listed == (["-1"] if moment > 20 else [])
    assert laid(workspace, tree)
    assert contents(tree) == contents(tmp_path / "whole")
    (experiment,) = table(tree, "Experiment")
    assert (experiment["id"], experiment["checkpoint_list"]) == (1, ["-1"])


def test_two_processes_that_lay_at_once_wait_for_each_other(workspace, tmp_path):
    settings = [{"task": "corner"}, {"task": "maze"}, {"task": "corner", "experiment": "Other"}]
    children = [in_child(lay) for lay in [laying(workspace, tmp_path / "tree", **each) for each in settings]]
    assert [ended(child) for child in children] == [0, 0, 0]
    experiments = table(tmp_path / "tree", "Experiment")
    assert {each["exp_name"] for each in experiments} == {NAME, "toy-maze_trained_experiment", "Other"}
    assert [each["id"] for each in experiments] == [1, 2, 3]
    for each in experiments:
        assert sampled(tmp_path / "tree", each, each["env_id"]) == [
            Episode(each["env_id"], each["id"], -1, number) for number in range(4)
        ]
    assert not [path for path in (tmp_path / "tree").iterdir() if path.name.startswith(".")]
