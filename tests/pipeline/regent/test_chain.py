"""The chain of a task: the spec of each artifact, what it is made from, and what is asked for when that is missing."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import ArtifactNotFound, InvalidInput
from pipeline.regent.chain import KINDS, Chain, bins_name
from pipeline.regent.recipe import Recipe
from pipeline.regent.settings import RetrievalSettings
from tests.conftest import collected, derived
from tests.pipeline.embedding.encoders import embedding
from tests.pipeline.embedding.pictures import DOMAIN, dataset, noise

MADE = KINDS[1:]
"""Of vectors, which need no embeddings."""


def chain(domain, workspace, task="corner", **settings):
    return Chain.of(Recipe(domain, task, "scripted-v1", **settings), workspace)


def test_every_artifact_is_found_by_the_spec_that_its_stage_built(made):
    toy, workspace = made
    found = chain(toy, workspace)
    for kind, artifact in derived(toy, workspace).items():
        assert found.require(kind).path == artifact.path
        assert found.spec(kind).fingerprint == artifact.manifest.fingerprint
    assert bins_name(found.require("bins")) == "toy-corner-5demos"
    assert (found.label, found.name) == ("toy/corner", "toy-corner")


def test_the_dataset_is_opened_once(made, monkeypatch):
    toy, workspace = made
    opened = []
    init = EpisodeDataset.__init__
    monkeypatch.setattr(EpisodeDataset, "__init__", lambda self, *given: (opened.append(given), init(self, *given))[1])
    found = chain(toy, workspace)
    for kind in MADE:
        found.require(kind)
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({"retrieval": RetrievalSettings(neighbours=25)}, MADE),
        ({"retrieval": RetrievalSettings(device="cpu")}, ()),
        ({"upstream_json": True}, ("bins", "parquet")),
        ({"images": True}, ()),  # there are none
        ({"episodes": 19}, ()),  # all but the last one are enough
    ],
)
def test_a_setting_moves_the_artifacts_whose_bytes_it_changes(made, change, moved):
    toy, workspace = made
    before, after = chain(toy, workspace), chain(toy, workspace, **change)
    assert after.spec("retrieval") == before.spec("retrieval") or "retrieval" in moved
    if "retrieval" not in moved:
        assert after.spec("distances") == before.spec("distances")
        assert (after.spec("bins") != before.spec("bins")) == ("bins" in moved)
    for kind in MADE:
        if kind in moved:
            with pytest.raises(ArtifactNotFound):
                after.require(kind)


def test_the_first_missing_artifact_is_named(toy, tmp_path):
    workspace = Workspace(str(tmp_path))
    with pytest.raises(ArtifactNotFound, match="stage=collect domain=toy task=corner"):
        chain(toy, workspace)
    collected(toy, workspace, episodes=4)
    found = chain(toy, workspace)
    assert found.spec("retrieval").kind == "retrieval"
    for kind in MADE[1:]:
        with pytest.raises(ArtifactNotFound, match="stage=retrieval domain=toy task=corner"):
            found.spec(kind)


def test_only_the_first_episodes_are_seen_where_so_many_are_asked_for(made):
    toy, workspace = made
    found = chain(toy, workspace, episodes=3)
    assert (len(found.dataset), found.plan.episodes) == (3, 3)
    assert found.spec("retrieval").parents[0].episodes == 3
    assert found.spec("retrieval").parents[0].digest == chain(toy, workspace).dataset.digest(3)


def test_vectors_are_those_of_the_asked_states(made):
    toy, workspace = made
    found = chain(toy, workspace)
    whole = found.dataset.state_rows("observation", 0, found.dataset.states)
    np.testing.assert_array_equal(found.vectors(np.array([0, 7, 50])), whole[[0, 7, 50]])


def test_pictures_hang_on_the_embeddings_of_the_episodes_that_are_used(tmp_path):
    workspace = Workspace(str(tmp_path))
    dataset(workspace, noise((9, 9, 9), (18, 16)))
    asked = Recipe(replace(DOMAIN, regent=replace(DOMAIN.regent, demos=2, states=5)), "pong", "made-v1")
    with pytest.raises(InvalidInput, match="are pictures; .* embedding=resnet18_regent"):
        Chain.of(asked, workspace).spec("retrieval")
    found = Chain.of(replace(asked, embedding=embedding()), workspace)
    assert found.spec("embeddings").parents[0].episodes == found.plan.episodes < 3
    for kind in MADE:
        with pytest.raises(ArtifactNotFound, match="stage=embeddings domain=pictures task=pong"):
            found.spec(kind)
