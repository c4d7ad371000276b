"""Artifacts that were made of the first episodes of one dataset."""

from __future__ import annotations

import shutil

from pipeline.artifacts.artifact import Spec
from pipeline.dataset.prefix import episodes_parent, of_leading_episodes
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from tests.conftest import collected, toy_domain


def noted(workspace, dataset, count):
    """An artifact of a dataset's first episodes."""
    parent = episodes_parent(dataset, EpisodeDataset.of(dataset), count)
    return workspace.build(Spec("toy", "corner", "notes", 1, {}, (parent,)), lambda draft: None)


def test_artifacts_of_leading_episodes_are_those_of_this_very_dataset(tmp_path):
    workspace = Workspace(str(tmp_path))
    dataset = collected(toy_domain(), workspace, episodes=4)
    other = collected(toy_domain(), workspace, episodes=4, dataset="other-v1")
    made = {noted(workspace, dataset, count).path for count in (1, 3, 4)}
    noted(workspace, other, 2)

    def found(artifact):
        return {each.path for each in of_leading_episodes(workspace, artifact, "notes")}

    assert found(dataset) == made
    assert found(workspace.dataset("toy", "corner", "scripted-v1", 2)) == made  # a limit changes nothing
    assert found(collected(toy_domain(), workspace, episodes=6)) == made  # nor does growth
    assert of_leading_episodes(workspace, dataset, "report") == []
    shutil.rmtree(dataset.path)
    assert found(collected(toy_domain(), workspace, episodes=6, seed=1)) == set()  # other episodes under the name
    assert found(collected(toy_domain(), workspace, episodes=6, dataset="third-v1")) == set()
