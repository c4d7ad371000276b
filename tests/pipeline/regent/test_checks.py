"""What `verify` finds wrong with neighbours, distances and bins; manifests of an earlier program included."""

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import read_json
from pipeline.regent.bins import read_lookup
from pipeline.regent.chain import bins_name
from pipeline.regent.checks import is_single_episode, wrong_bins, wrong_distances, wrong_neighbours
from pipeline.regent.pools import SINGLE_EPISODE
from pipeline.regent.recipe import Recipe
from pipeline.regent.rows import RowLayout
from pipeline.storage.choice import open_arrays
from stages import retrieval, verify
from tests.conftest import collected, derived
from tests.manifests import as_before


@pytest.fixture
def workspace(tmp_path):
    """Raw arrays, which a test can spoil."""
    return Workspace(str(tmp_path), "bin")


@pytest.fixture
def several(toy, workspace):
    return EpisodeDataset.of(collected(toy, workspace, episodes=4)), derived(toy, workspace)


@pytest.fixture
def single(toy, workspace):
    """One query episode, of two rows or more: the pool is half of it."""
    found = collected(toy, workspace, "maze", episodes=1)
    asked = Recipe(toy, "maze", "scripted-v1")
    return EpisodeDataset.of(found), retrieval.run(recipe=asked, workspace=workspace, force=False)


def without_facts(artifact: Artifact) -> Artifact:
    """As an earlier program left it, with another sentence among its warnings."""
    return as_before(artifact.path, "facts", warnings=["One query episode would be a pity."])


def spoiled(artifact: Artifact, name: str, query: int, column: int, value: float) -> Artifact:
    """The artifact with one number of an array changed."""
    array = open_arrays(artifact.arrays)[name]
    stored = np.memmap(artifact.arrays / f"{name}.bin", array.dtype, "r+", shape=tuple(array.shape))
    stored[query, column] = value
    stored.flush()
    return artifact


def test_a_retrieval_says_whether_it_has_a_single_query_episode(several, single):
    assert several[1]["retrieval"].manifest.facts == {SINGLE_EPISODE: False}
    assert single[1].manifest.facts == {SINGLE_EPISODE: True}
    assert list(wrong_neighbours(several[1]["retrieval"], several[0])) == []
    assert list(wrong_neighbours(single[1], single[0])) == []


def test_where_an_earlier_manifest_does_not_say_it_the_arrays_do(several, single, toy, workspace):
    for episodes, artifact, wanted in ((several[0], several[1]["retrieval"], False), (*single, True)):
        old = without_facts(artifact)
        assert is_single_episode(old, episodes) == wanted
        assert list(wrong_neighbours(old, episodes)) == []
    verify.run(domain=toy, only=None, workspace=workspace, audit=None, workers=1)


def test_a_neighbour_of_the_own_episode_or_of_outside_the_pool_is_damage(several):
    episodes, artifacts = several
    found = spoiled(artifacts["retrieval"], "neighbours", 2, 3, 1)
    assert list(wrong_neighbours(found, episodes)) == ["query 2 has a neighbour of its own episode"]
    found = spoiled(artifacts["retrieval"], "neighbours", 2, 3, episodes.states)
    assert any("outside their pool" in line for line in wrong_neighbours(found, episodes))


def test_with_a_single_episode_only_the_query_itself_is_damage(single):
    episodes, artifact = single
    found = spoiled(artifact, "neighbours", 1, 0, 0)
    assert list(wrong_neighbours(found, episodes)) == []
    found = spoiled(artifact, "neighbours", 1, 0, 1)
    assert list(wrong_neighbours(found, episodes)) == ["query 1 has a neighbour of its own episode"]


def test_distances_that_none_can_have_are_damage(several):
    artifact = several[1]["distances"]
    assert list(wrong_distances(artifact)) == []
    assert "negative or not finite" in next(wrong_distances(spoiled(artifact, "distances", 0, 5, -1)))
    assert "negative or not finite" in next(wrong_distances(spoiled(artifact, "distances", 0, 5, np.nan)))
    spoiled(artifact, "distances", 0, 5, 1)
    assert "first neighbour to itself is not 0" in next(wrong_distances(spoiled(artifact, "distances", 3, 0, 1)))


def test_indices_that_point_at_padding_or_do_not_enumerate_the_states_are_damage(several, toy):
    episodes, artifacts = several
    folder = artifacts["bins"].path / bins_name(artifacts["bins"])
    shapes = read_json(folder / "shapes.json")
    lengths = RowLayout(episodes.lengths, toy.regent.row_width).row_lengths
    indices = np.memmap(folder / "indices.bin", "<i4", "r+", shape=tuple(shapes["indices"]))
    rows = read_lookup(folder)

    def damage(lengths=lengths, rows=rows):
        return " and ".join(wrong_bins(folder, shapes, lengths, rows))

    assert damage() == ""
    (short,) = np.flatnonzero(lengths < toy.regent.row_width)[:1]
    indices[0, 4] = (short, toy.regent.row_width - 1)
    assert damage() == f"indices.bin: states 0 to {len(indices)} point at padding or missing rows"
    indices[0, 4], indices[5, 19] = indices[0, 3], indices[4, 19]
    assert "the last entry of states 0" in damage()
    assert f"the lookup has {len(rows) - 1} rows" in damage(rows=rows[1:])


def test_verify_lists_what_is_wrong_with_a_retrieval(several, toy, workspace):
    artifact = spoiled(several[1]["retrieval"], "neighbours", 0, 0, 0)
    with pytest.raises(DamagedArtifact, match=str(artifact.path)):
        verify.run(domain=toy, only=None, workspace=workspace, audit=None, workers=1)
