"""A child that was made of something else than its parents hold is found, whatever it kept of what it read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.artifact import MANIFEST, Artifact
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import file_table
from pipeline.regent.recipe import Recipe
from stages import bins, distances, parquet, retrieval, verify
from tests.conftest import collected, derived, toy_domain
from tests.manifests import as_before, edited

STAGES = {"retrieval": retrieval, "distances": distances, "bins": bins, "parquet": parquet}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain")
    workspace = Workspace(str(root), "bin")
    collected(toy_domain(), workspace)
    derived(toy_domain(), workspace)
    return root


@pytest.fixture
def workspace(chain: Path, tmp_path: Path) -> Workspace:
    """A copy, and beside it another that stays whole."""
    shutil.copytree(chain, tmp_path / "made")
    return Workspace(str(tmp_path / "made"), "bin")


def of(workspace: Workspace, kind: str) -> Artifact:
    return workspace.of_kind("toy", "corner", kind)[0]


def checked(workspace: Workspace) -> None:
    verify.run(domain=None, only=None, workspace=workspace, audit=None, workers=1)


def spoil(artifact: Artifact, name: str, whole_chunk: bool) -> None:
    """Zeros in the place of a chunk, or one number that is another, in an artifact that says that it is whole."""
    path = next(artifact.path.rglob(name))
    data = np.fromfile(path, np.uint8)
    if whole_chunk:
        data[: len(data) // 2] = 0
    else:
        data[len(data) // 2 + 3] ^= 1
    data.tofile(path)
    table = file_table(artifact.path, artifact.path)
    edited(artifact.path, files={name: record for name, record in table.items() if name != MANIFEST})


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("parent", "name", "child"),
    [
        ("episodes", "observation.bin", "retrieval"),
        ("episodes", "observation.bin", "distances"),
        ("retrieval", "neighbours.bin", "distances"),
        ("episodes", "observation.bin", "bins"),
        ("episodes", "reward.bin", "bins"),
        ("episodes", "action.bin", "bins"),
        ("retrieval", "neighbours.bin", "bins"),
        ("distances", "distances.bin", "bins"),
        ("bins", "rewards.bin", "parquet"),
    ],
)
def test_a_child_of_a_damaged_parent_is_found_when_that_is_whole_again(
    workspace: Workspace, chain: Path, parent: str, name: str, child: str, kept: bool
):
    before = of(workspace, child).manifest
    spoil(of(workspace, parent), name, whole_chunk=True)
    shutil.rmtree(of(workspace, child).path)
    recipe = Recipe(toy_domain(), "corner", "scripted-v1")
    made = STAGES[child].run(recipe=recipe, workspace=workspace, force=False)
    assert made.built
    assert (made.manifest.fingerprint, made.manifest.digest != before.digest) == (before.fingerprint, True)
    if not kept:
        entries = [{key: entry[key] for key in entry if key != "read"} for entry in made.manifest.parents]
        as_before(made.path, parents=entries)
    damaged = of(workspace, parent).path
    shutil.rmtree(damaged)
    shutil.copytree(chain / damaged.relative_to(workspace.root.parent), damaged)
    with pytest.raises(DamagedArtifact) as error:
        checked(workspace)
    assert f"\n  {made.path}: " in str(error.value)
    assert f"\n  {damaged}: " not in str(error.value)


def test_one_number_that_differs_is_found_where_numbers_are_compared(workspace: Workspace, chain: Path):
    for parent, name, child in (("episodes", "reward.bin", "bins"), ("bins", "rewards.bin", "parquet")):
        spoil(of(workspace, parent), name, whole_chunk=False)
        shutil.rmtree(of(workspace, child).path)
        recipe = Recipe(toy_domain(), "corner", "scripted-v1")
        made = STAGES[child].run(recipe=recipe, workspace=workspace, force=False)
        damaged = of(workspace, parent).path
        shutil.rmtree(damaged)
        shutil.copytree(chain / damaged.relative_to(workspace.root.parent), damaged)
        with pytest.raises(DamagedArtifact, match=str(made.path)):
            checked(workspace)


def test_children_of_before_are_whole_where_they_fit(workspace: Workspace):
    for kind in STAGES:
        artifact = of(workspace, kind)
        as_before(artifact.path, parents=[parent.identity() for parent in artifact.parents])
    checked(workspace)


def test_a_child_of_another_parent_of_the_same_name_is_found(workspace: Workspace):
    retrieved = of(workspace, "retrieval")
    edited(retrieved.path, digest="0" * 64)
    with pytest.raises(DamagedArtifact, match=f"{of(workspace, 'distances').path}: its parent, retrieval"):
        checked(workspace)


def test_children_of_a_damaged_parent_are_no_damage_themselves(workspace: Workspace):
    path = next(of(workspace, "episodes").path.rglob("observation.bin"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedArtifact, match="Found 1 damaged place:"):
        checked(workspace)
