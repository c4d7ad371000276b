"""Each stage and each reader refuses an input that is damaged, and goes on once it is made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact
from pipeline.frames.store import Frames
from pipeline.regent.recipe import Recipe
from pipeline.views.contexts import Contexts
from stages import bins, distances, frames, parquet, report, retrieval
from tests.conftest import collected
from tests.damage import flip_bit

CHAIN = {"retrieval": retrieval, "distances": distances, "bins": bins, "parquet": parquet}
READS = {
    "episodes": ("retrieval", "distances", "bins", "parquet"),
    "retrieval": ("distances", "bins"),
    "distances": ("bins",),
    "bins": ("parquet",),
}
"""The stages that read an artifact of a kind."""


def lost(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 64]))


HARMS = (lost, emptied, cut, flip_bit, in_place)


def of_kind(workspace: Workspace, kind: str) -> Artifact:
    return workspace.of_kind("toy", "corner", kind)[0]


def files_of(artifact: Artifact) -> list[Path]:
    """The largest file, one of `episode_ends` or of what says which shapes arrays have, and the smallest."""
    there = (artifact.path / name for name, record in artifact.manifest.files.items() if record["size"])
    files = sorted(there, key=lambda path: path.stat().st_size)
    special = [path for path in files if "episode_ends" in path.as_posix() or path.name in ("shapes.json", "zarr.json")]
    return list(dict.fromkeys([files[-1], *special[:2], files[0]]))


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", list(READS))
def test_no_stage_makes_anything_of_a_damaged_input(made, kind: str, harm: Callable[[Path], None]):
    toy, workspace = made
    recipe = Recipe(toy, "corner", "scripted-v1")
    artifact = of_kind(workspace, kind)
    for stage in READS[kind]:
        shutil.rmtree(of_kind(workspace, stage).path)
    for path in files_of(artifact):
        whole = path.read_bytes()
        harm(path)
        for stage in READS[kind]:
            with pytest.raises(DamagedArtifact, match=str(artifact.path)) as error:
                CHAIN[stage].run(recipe=recipe, workspace=workspace, force=False)
            assert error.value.remake.startswith(f"rm -r {artifact.path} && python run.py stage=")
            assert workspace.of_kind("toy", "corner", stage) == []
        path.write_bytes(whole)
    for stage in READS[kind]:
        assert CHAIN[stage].run(recipe=recipe, workspace=workspace, force=False).built


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", [*READS, "parquet"])
def test_what_is_damaged_is_not_found_either(made, kind: str, harm: Callable[[Path], None]):
    toy, workspace = made
    artifact = of_kind(workspace, kind)
    for path in files_of(artifact):
        whole = path.read_bytes()
        harm(path)
        with pytest.raises(DamagedArtifact, match=str(artifact.path)):
            if kind == "episodes":
                collected(toy, workspace)
            else:
                CHAIN[kind].run(recipe=Recipe(toy, "corner", "scripted-v1"), workspace=workspace, force=False)
        path.write_bytes(whole)


def test_readers_refuse_what_is_damaged(made):
    _, workspace = made
    episodes, bins_artifact = of_kind(workspace, "episodes"), of_kind(workspace, "bins")
    inside = next(path for path in bins_artifact.path.iterdir() if path.is_dir())
    flip_bit(files_of(episodes)[0])
    for path in (inside / "rewards.bin", inside / "dist_stats.json"):
        whole = path.read_bytes()
        flip_bit(path)
        for door in (
            lambda: Contexts.of(bins_artifact),
            lambda: Contexts(inside),
            lambda: workspace.find("bins", "toy/corner"),
        ):
            with pytest.raises(DamagedArtifact, match="has other bytes"):
                door()
        path.write_bytes(whole)
    for door in (
        lambda: EpisodeDataset.of(episodes),
        lambda: EpisodeDataset(episodes.path),
        lambda: workspace["toy/corner/scripted-v1"],
    ):
        with pytest.raises(DamagedArtifact, match="has other bytes"):
            door()


def test_a_damaged_dataset_does_not_grow_and_makes_no_page(made):
    toy, workspace = made
    path = next(iter(files_of(of_kind(workspace, "episodes"))))
    flip_bit(path)
    before = of_kind(workspace, "episodes").manifest
    with pytest.raises(DamagedArtifact, match="has other bytes"):
        collected(toy, workspace, episodes=22)
    assert of_kind(workspace, "episodes").manifest == before
    with pytest.raises(DamagedArtifact, match="has other bytes"):
        report.run(recipe=Recipe(toy, "corner", "scripted-v1"), workspace=workspace, force=False)


def test_a_leading_part_of_a_dataset_is_read_where_only_a_later_one_is_damaged(toy, workspace, monkeypatch):
    monkeypatch.setattr("pipeline.dataset.parts.PART_EPISODES", 4)
    artifact = collected(toy, workspace, episodes=10)
    assert len(artifact.manifest.parts) > 2
    last = artifact.path / "parts" / artifact.manifest.parts[-1].name
    flip_bit(max((path for path in last.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size))
    assert len(EpisodeDataset(artifact.path, episodes=6)) == 6
    with pytest.raises(DamagedArtifact, match=last.name):
        EpisodeDataset(artifact.path)


def test_pictures_of_a_damaged_artifact_are_not_read(toy, workspace):
    dataset = collected(toy, workspace, episodes=2)
    drawn = frames.run(
        domain=toy, task="corner", dataset=dataset.manifest.version, episodes=None, workspace=workspace, workers=1,
        force=False,
    )  # fmt: skip
    flip_bit(files_of(drawn)[0])
    with pytest.raises(DamagedArtifact, match="has other bytes"):
        Frames(drawn)
