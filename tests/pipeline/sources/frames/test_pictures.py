"""The pictures that came with episodes: kept beside them, found by stage=frames, read again where they are gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DigestMismatch, InvalidInput
from pipeline.formats.image_text.interleaved import InterleavedFormat
from pipeline.frames.checks import wrong_frames
from pipeline.frames.store import FRAMES, Frames
from pipeline.rollout.frames import frames_of_source
from pipeline.sources.frames.source import FramesSource
from stages import frames, ingest, select
from tests.contracts.one_way import written
from tests.frame_files import png, screens, write_tree
from tests.pipeline.sources.frames.test_exports import games


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_tree(tmp_path / "tree", (2, 1, 3))
    return tmp_path / "tree"


def taken_in(tree: Path, workspace: Workspace, episodes: int | None = None, force: bool = False) -> Artifact:
    made = ingest.run(domain=games(), task="alien", source=FramesSource(str(tree)), workspace=workspace,
                      dataset="frames-v1", episodes=episodes, states=None, force=force)  # fmt: skip
    assert made is not None
    return made


def found(workspace: Workspace, episodes: int | None = None) -> Artifact:
    """By stage=frames, which has no source."""
    return frames.run(domain=games(), task="alien", workspace=workspace, dataset="frames-v1", episodes=episodes,
                      workers=1, force=False)  # fmt: skip


def test_stage_frames_finds_the_files_as_they_were(tree: Path, tmp_path: Path):
    workspace = Workspace(str(tmp_path / "outputs"))
    taken_in(tree, workspace)
    (artifact,) = workspace.of_kind("atari", "alien", FRAMES)
    assert found(workspace).path == artifact.path
    assert list(wrong_frames(artifact)) == []
    for number, pictures in enumerate(Frames(artifact)):
        (folder,) = tree.glob(f"*/episode_{number:03d}_*")
        files = [path.read_bytes() for path in sorted(folder.glob("frame_*.png"))]
        assert [pictures[row] for row in range(len(pictures))] == files + [b""] * (number % 2 == 0)
    assert not list((tmp_path / "outputs").rglob("*lockstep*"))


def test_growth_keeps_all_pictures_and_fewer_are_taken_from_more(tree: Path, tmp_path: Path):
    grown, whole = Workspace(str(tmp_path / "grown")), Workspace(str(tmp_path / "whole"))
    for episodes in (1, 2, None):
        taken_in(tree, grown, episodes)
    taken_in(tree, whole)
    shutil.rmtree(tree)
    assert found(grown).manifest.digest == found(whole).manifest.digest
    assert found(whole, 2).manifest.digest == found(grown, 2).manifest.digest
    assert found(whole, 2).manifest.counts["episodes"] == 2


def test_pictures_that_are_gone_are_read_again(tree: Path, tmp_path: Path):
    workspace = Workspace(str(tmp_path / "outputs"))
    taken_in(tree, workspace)
    digest = found(workspace).manifest.digest
    shutil.rmtree(found(workspace).path)
    with pytest.raises(InvalidInput, match="can only come from where its episodes came from"):
        found(workspace)
    taken_in(tree, workspace)
    assert found(workspace).manifest.digest == digest
    assert taken_in(tree, workspace, force=True).built


def test_a_copy_in_another_storage_reads_its_pictures_itself(tree: Path, tmp_path: Path):
    for storage in ("zarr", "bin"):
        workspace = Workspace(str(tmp_path / "outputs"), storage)
        taken_in(tree, workspace)
        (artifact,) = workspace.of_kind("atari", "alien", FRAMES)[-1:]
        assert artifact.manifest.counts["frames"] == 9


def test_pictures_of_other_episodes_are_not_kept(tree: Path, tmp_path: Path):
    workspace = Workspace(str(tmp_path / "outputs"))
    dataset = taken_in(tree, workspace)
    shutil.rmtree(found(workspace).path)
    (path,) = tree.glob("*/episode_000_*/frame_000001.png")
    path.write_bytes(png(screens(9, 1)[0]))
    with pytest.raises(DigestMismatch, match="Episode 0 of .* is another one in its source now"):
        frames_of_source(dataset, FramesSource(str(tree)), workspace, force=False)


def test_a_selection_has_the_pictures_of_what_it_selects_from(tree: Path, tmp_path: Path):
    workspace = Workspace(str(tmp_path / "outputs"))
    taken_in(tree, workspace)
    for of, name, where in (("frames-v1", "long-v1", "length > 1"), ("long-v1", "longest-v1", "length > 2")):
        select.run(domain=games(), task="alien", workspace=workspace, of=of, where=where, dataset=name, episodes=None,
                   force=False)  # fmt: skip
    whole = Frames(found(workspace))
    for name, numbers in (("longest-v1", [2]), ("long-v1", [0, 2])):
        artifact = frames.run(domain=games(), task="alien", workspace=workspace, dataset=name, episodes=None,
                              workers=1, force=False)  # fmt: skip
        assert [each.digest for each in Frames(artifact)] == [whole[number].digest for number in numbers]
        assert list(wrong_frames(artifact)) == []
    table = pq.read_table(place_in(written(InterleavedFormat(), workspace, games(), task=["alien"], dataset="long-v1")))
    assert table["episode"].to_pylist() == ["episode_000_rand0.2", "episode_002_rand1.0"]
