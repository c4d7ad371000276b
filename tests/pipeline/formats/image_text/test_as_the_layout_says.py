"""Files against a converter that was written from the layout alone, which walks the tree of the same episodes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.artifacts.exported import place_in
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.envs.toy import Toy
from pipeline.formats.checks import wrong_export
from pipeline.formats.contract import Format
from pipeline.formats.image_text.frames import FramesFormat
from pipeline.formats.image_text.interleaved import InterleavedFormat
from pipeline.formats.image_text.simple import SimpleFormat
from pipeline.frames.store import FRAMES, Frames
from tests.conftest import DRAWN, collected, toy_domain
from tests.contracts.one_way import written
from tests.plain_converter import interleaved_rows, simple_rows

WORDS = {0: "stay", 1: "up", 2: "down", 3: "left", 4: "right"}


@pytest.fixture(scope="module")
def workspace(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("image-text")
    shutil.copytree(drawn, root / "outputs")
    return Workspace(str(root / "outputs"))


@pytest.fixture(scope="module")
def tree(workspace: Workspace) -> Path:
    """The folder tree of both tasks."""
    return place_in(written(FramesFormat(), workspace))


def table_of(format: Format, workspace: Workspace, **settings: object) -> pa.Table:
    return pq.read_table(place_in(written(format, workspace, **settings)))


def test_the_tree_holds_the_stored_pictures_and_the_actions_by_name(workspace: Workspace, tree: Path):
    for task in DRAWN:
        dataset = EpisodeDataset.of(workspace.dataset("toy", task, "scripted-v1"))
        (artifact,) = workspace.of_kind("toy", task, FRAMES)
        for number, (episode, pictures) in enumerate(zip(dataset, Frames(artifact), strict=True)):
            folder = tree / f"toy_{task}" / f"episode_{number:03d}_rand0.25"
            assert len(list(folder.iterdir())) == 2 * episode.length + 2
            for row in range(episode.length + 1):
                assert (folder / f"frame_{row:06d}.png").read_bytes() == pictures[row]
            for row, action in enumerate(episode.steps["action"][:-1].tolist()):
                assert (folder / f"action_{row:06d}.txt").read_bytes() == f"{action}: {WORDS[action]}".encode()
            assert not (folder / f"action_{episode.length:06d}.txt").exists()


def test_what_else_is_known_of_an_episode_lies_beside_it(workspace: Workspace, tree: Path):
    episode = EpisodeDataset.of(workspace.dataset("toy", "maze", "scripted-v1"))[2]
    facts = json.loads((tree / "toy_maze" / "episode_002_rand0.25" / "episode.json").read_text())
    assert facts["environment"] == "toy_maze"
    assert (facts["seed"], facts["length"], facts["randomness"]) == (episode.seed, episode.length, 0.25)
    assert (facts["terminated"], facts["truncated"], facts["success"]) == (True, False, 1)
    assert facts["policy"] == {"name": "scripted", "randomness": 0.25}
    assert facts["action_names"] == list(WORDS.values())
    assert facts["actions"] == episode.steps["action"][:-1].tolist()
    np.testing.assert_array_equal(np.array(facts["rewards"]), episode.steps["reward"][:-1])


@pytest.mark.parametrize("profile", ["readme", "script"])
def test_interleaved_is_what_a_plain_converter_makes_of_the_tree(profile: str, workspace: Workspace, tree: Path):
    table = table_of(InterleavedFormat(profile), workspace)
    assert table.to_pylist() == interleaved_rows(tree, profile)
    assert [str(each.type) for each in table.schema][1:] == [
        *("list<element: binary>", "list<element: binary>", "string", "string", "int64", "double"),
    ]


def test_simple_is_what_a_plain_converter_makes_of_the_tree(workspace: Workspace, tree: Path):
    assert table_of(SimpleFormat(), workspace).to_pylist() == simple_rows(tree)


def test_stray_and_unfinished_folders_and_frames_without_an_action_are_no_rows(tree: Path, tmp_path: Path):
    """The converter itself: what it leaves out of the tree, and that it finds the rest."""
    shutil.copytree(tree, tmp_path / "tree")
    episode = tmp_path / "tree" / "toy_corner" / "episode_000_rand0.25"
    shutil.copytree(episode, episode.with_name("temp_episode_4"))
    (tmp_path / "tree" / "notes.txt").write_text("stray")
    before = simple_rows(tree)
    assert simple_rows(tmp_path / "tree") == before
    (episode / "action_000000.txt").unlink()
    assert simple_rows(tmp_path / "tree") == before[1:]


def test_a_row_has_its_openings_then_frames_with_an_action_between(workspace: Workspace):
    dataset = EpisodeDataset.of(workspace.dataset("toy", "corner", "scripted-v1"))
    for format, openings in ((InterleavedFormat("readme"), 2), (InterleavedFormat("script"), 1)):
        for row, length in zip(table_of(format, workspace, task=["corner"]).to_pylist(), dataset.lengths, strict=True):
            assert len(row["inputs"]) == openings + 2 * length - 1
            shown = [each["image_index"] for each in row["inputs"] if each["type"] == "image_gen"]
            assert shown == list(range(length))


@pytest.mark.parametrize("window", [2, 3, 1000])
def test_windows_lose_no_action_and_double_none(window: int, workspace: Workspace):
    whole = table_of(InterleavedFormat(), workspace).to_pylist()
    rows = table_of(InterleavedFormat(window=window), workspace).to_pylist()
    for episode in whole:
        parts = [r for r in rows if (r["environment"], r["episode"]) == (episode["environment"], episode["episode"])]
        assert [part["first_frame"] for part in parts] == [n * (window - 1) for n in range(len(parts))]
        assert all(1 < part["num_frames"] <= window for part in parts)
        assert parts[0]["images"] + [each for part in parts[1:] for each in part["images"][1:]] == episode["images"]
        assert [word for part in parts for word in actions(part)] == actions(episode)
        assert [part["images_front"] for part in parts] == [part["images"][:1] for part in parts]
        assert parts[0]["inputs"][1]["text"].endswith(f"Starting game with {parts[0]['num_frames']} frames.")


def actions(row: dict) -> list[str]:
    return [each["text"] for each in row["inputs"][2:] if each["type"] == "text"]


def test_each_task_has_its_file_where_that_is_asked_for(workspace: Workspace, tmp_path: Path):
    joined = table_of(SimpleFormat(), workspace)
    for task in DRAWN:
        artifact = written(SimpleFormat(per_task=True), workspace, task=task, out=str(tmp_path))
        assert place_in(artifact).name == f"toy_{task}-simple.parquet"
        own = pq.read_table(tmp_path / f"toy_{task}-simple.parquet")
        assert own.equals(joined.filter(pa.compute.equal(joined["environment"], f"toy_{task}")))
    folder = place_in(written(FramesFormat(per_task=True), workspace, task="maze"))
    assert (folder.name, (folder / "episode_003_rand0.25").is_dir()) == ("toy_maze", True)


def test_two_stores_and_any_number_of_workers_give_the_same_files(workspace: Workspace, tmp_path: Path):
    again = Workspace(str(tmp_path / "again"), "bin")
    collected(toy_domain(), again, episodes=4, render=True, randomness=0.25, workers=2)
    for format in (InterleavedFormat(), SimpleFormat()):
        stores = (workspace, again)
        first, second = (pq.ParquetFile(place_in(written(format, each, task=["corner"]))) for each in stores)
        assert first.read().equals(second.read())
        assert first.metadata.num_row_groups == second.metadata.num_row_groups


class Told(Toy):
    """The toy world with a mission."""

    mission = "go to the green corner"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three episodes of one decision, and two of three decisions with a mission."""
    workspace = Workspace(str(tmp_path_factory.mktemp("short")))
    collected(toy_domain(), workspace, episodes=3, frames=3, render=True)
    domain = Domain(**{**vars(toy_domain()), "environment": Told})
    collected(domain, workspace, "maze", episodes=2, frames=6, render=True)
    return workspace


def test_an_episode_of_one_frame_is_one_row_and_frames_are_exactly_so_many(short: Workspace):
    for window in (None, 5):
        rows = table_of(InterleavedFormat(window=window), short).to_pylist()
        assert [row["num_frames"] for row in rows] == [1, 1, 1, 3, 3]
        assert [each["type"] for each in rows[0]["inputs"]] == ["text", "text", "image_gen"]
        assert rows[0]["inputs"][1]["text"] == "Episode episode_000_rand0.0. Starting game with 1 frames."
    assert len(table_of(SimpleFormat(), short)) == 3 + 6


def test_a_mission_stands_in_the_title(short: Workspace):
    titles = [row["inputs"][0]["text"] for row in table_of(InterleavedFormat(), short).to_pylist()]
    assert titles[2] == "Toy Corner Environment (randomness=0.0)"
    assert titles[3] == "Toy Maze Environment (randomness=0.0). Mission: go to the green corner"


@pytest.fixture
def copy(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A store of its own."""
    shutil.copytree(workspace.root.parent, tmp_path / "copy")
    return Workspace(str(tmp_path / "copy"))


def test_a_folder_that_was_changed_is_named(copy: Workspace):
    artifact = written(FramesFormat(), copy)
    place = place_in(artifact)
    (place / "toy_maze" / "episode_001_rand0.25" / "action_000002.txt").write_text("1: up?")
    (place / "toy_maze" / "episode_002_rand0.25" / "notes.txt").touch()
    (place / "toy_corner" / "episode_003_rand0.25").rename(place / "toy_corner" / "episode_004_rand0.25")
    assert list(wrong_export(artifact, copy)) == [
        "toy_corner/episode_003_rand0.25 is missing",
        "toy_corner/episode_004_rand0.25 is none of the dataset",
        "toy_maze/episode_001_rand0.25 differs in action_000002.txt",
        "toy_maze/episode_002_rand0.25 differs in notes.txt",
    ]


@pytest.mark.parametrize(
    ("format", "column", "row", "value", "wrong"),
    [
        (SimpleFormat(), "action", 0, "sideways", "frame 0 of episode_000_rand0.25 of toy_corner differs in action"),
        (InterleavedFormat(), "randomness", 7, 0.5, "episode_003_rand0.25 of toy_maze differs in randomness"),
    ],
)
def test_a_row_that_was_changed_is_named(
    format: Format, column: str, row: int, value: object, wrong: str, copy: Workspace
):
    artifact = written(format, copy)
    table = pq.read_table(place := place_in(artifact))
    values, number = table[column].to_pylist(), table.column_names.index(column)
    values[row] = value
    pq.write_table(table.set_column(number, table.schema.field(number), pa.array(values)), place)
    assert list(wrong_export(artifact, copy)) == [wrong]
    pq.write_table(table.slice(1), place)
    assert next(iter(wrong_export(artifact, copy))).startswith("a row group has")
    pq.write_table(table.drop_columns([column]), place)
    assert next(iter(wrong_export(artifact, copy))).startswith("its columns are")
