"""What comes in from folders goes out as it was: files against a converter that reads the same folders itself."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.formats.checks import wrong_export
from pipeline.formats.contract import Format
from pipeline.formats.image_text.bagel import BagelFormat
from pipeline.formats.image_text.frames import FramesFormat
from pipeline.formats.image_text.interleaved import InterleavedFormat
from pipeline.formats.image_text.simple import SimpleFormat
from pipeline.formats.image_text.thinkmorph import ThinkMorphFormat
from pipeline.sources.frames.source import FramesSource
from stages import export, ingest
from tests.contracts.format import UNSET
from tests.frame_files import write_odd_tree
from tests.plain_converter import interleaved_rows, plain_episodes, simple_rows

TASKS = ["alien", "montezumarevenge"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("frames") / "tree"
    write_odd_tree(root)
    return root


def games(tasks: list[str] = TASKS) -> Domain:
    aliases = {"montezuma": "montezumarevenge"}
    return Domain("atari", None, 5, dict, tasks, Regent(32, 5, 20, 100), aliases=aliases)


def taken_in(tree: Path, workspace: Workspace, task: str, episodes: int | None = None, force: bool = False) -> None:
    ingest.run(domain=games(), task=task, source=FramesSource(str(tree)), workspace=workspace, dataset="frames-v1",
               episodes=episodes, states=None, force=force)  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tree: Path) -> Workspace:
    made = Workspace(str(tree.parent / "outputs"), "bin")
    for task in TASKS:
        taken_in(tree, made, task)
    return made


def place_of(format: Format, workspace: Workspace) -> Path:
    settings = UNSET | {"task": TASKS, "dataset": "frames-v1"}
    artifact = export.run(domain=games(), workspace=workspace, format=format, **settings)
    assert list(wrong_export(artifact, workspace)) == []
    return place_in(artifact)


@pytest.mark.parametrize("profile", ["readme", "script"])
def test_interleaved_is_what_a_plain_converter_makes_of_the_folders(profile: str, workspace: Workspace, tree: Path):
    rows = pq.read_table(place_of(InterleavedFormat(profile), workspace)).to_pylist()
    assert [row["num_frames"] for row in rows] == [5, 5, 6, 1, 3, 2]
    assert rows == interleaved_rows(tree, profile)


def test_simple_is_what_a_plain_converter_makes_of_the_folders(workspace: Workspace, tree: Path):
    rows = pq.read_table(place_of(SimpleFormat(), workspace)).to_pylist()
    assert [row["frame_number"] for row in rows][5:10] == [0, 1, 3, 4, 5]
    assert rows == simple_rows(tree)


def test_folders_come_out_as_they_came_in(workspace: Workspace, tree: Path):
    out = place_of(FramesFormat(), workspace)
    assert list(plain_episodes(out)) == list(plain_episodes(tree))
    for folder in sorted(path for path in out.glob("*/*") if path.is_dir()):
        for path in folder.glob("*_*"):
            assert path.read_bytes() == (tree / path.relative_to(out)).read_bytes()
    assert (out / "atari_alien" / "episode_000_rand0.2" / "frame_000005.png").exists()


def test_bagel_has_texts_between_the_pictures_that_are_there(workspace: Workspace, tree: Path):
    (path,) = (place_of(BagelFormat(), workspace) / "data").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    numbers = dict.fromkeys(f"{episode.environment} {episode.name}" for episode in plain_episodes(tree))
    del numbers["atari_alien episode_003_rand0.20"]  # a single picture
    assert [f"{row['environment']} {row['episode']}" for row in rows] == list(numbers)
    assert [len(row["image_list"]) for row in rows] == [6, 5, 6, 3, 3]
    for row in rows:
        assert len(row["instruction_list"]) == len(row["image_list"]) - 1
        assert all(row["image_list"])
    assert [words for (words,) in rows[2]["instruction_list"]] == ["left", "8:down", "unknown", "jump", "[[11]]"]


def test_thinkmorph_has_a_text_for_each_picture(workspace: Workspace, tree: Path):
    (path,) = (place_of(ThinkMorphFormat(max_tokens=10**6), workspace) / "data").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    for row, episode in zip(rows, plain_episodes(tree), strict=True):
        assert row["image_list"] == episode.pictures
        assert row["output_text_list"] == [text.lower() for text in episode.clean]
        assert f"(randomness={episode.randomness})" in row["instruction_list"][0]
