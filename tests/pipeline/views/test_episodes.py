"""Whole episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.views.episodes import Episodes
from pipeline.views.view import View
from tests.contracts.view import ViewContract, same_batch
from tests.pipeline.views import loops
from tests.pipeline.views.loops import Sample
from tests.pipeline.views.stored import LISTED, episode_of, stored

FIELDS = ("observation", "action", "reward", "mask", "length", "has_final_observation", "episode", "timestep")


class TestEpisodes(ViewContract):
    defaults: ClassVar[Mapping[str, Any]] = {"fields": FIELDS}

    def view(self, workspace: Workspace, dataset: str, **settings: Any) -> View:
        return Episodes(workspace, dataset, **settings)

    def loop(self, dataset: EpisodeDataset, **settings: Any) -> Iterable[Sample]:
        return loops.episodes(dataset, **settings)

    def choices(self, dataset: EpisodeDataset) -> st.SearchStrategy[dict[str, Any]]:
        infos = tuple(name for name in dataset.array_names() if name.startswith("info"))
        return st.fixed_dictionaries(
            {
                "fields": st.sampled_from([FIELDS, (*infos, "return_to_go", "terminated", "truncated", "discount")]),
                "final_observation": st.booleans(),
                "frame_stack": st.integers(1, 3),
                "discount": st.sampled_from([1.0, 0.5]),
                "float64": st.booleans(),
            }
        )

    def same_but_for_padding(self, in_batch: Mapping[str, np.ndarray], alone: Mapping[str, np.ndarray]) -> None:
        rows = len(alone["mask"])
        for name, array in in_batch.items():
            if array.ndim:
                assert not array[rows:].any(), name
        same_batch({name: array[:rows] if array.ndim else array for name, array in in_batch.items()}, alone)


def test_a_batch_is_as_long_as_its_longest_episode_or_as_that_of_the_dataset(workspace, rng):
    stored(workspace, [episode_of(rng, length, nested=False) for length in (2, 5, 3)])
    for padding, rows in (("batch", 3), ("dataset", 6)):
        view = Episodes(workspace, LISTED, seed=None, padding=padding, final_observation=True)
        batch = view.batch(np.array([0]))
        assert batch["observation"].shape == (1, rows, 4, 5)
        assert batch["mask"].tolist() == [[True] * 3 + [False] * (rows - 3)]
        assert batch["length"].tolist() == [2]


def test_each_of_some_episodes_comes_as_long_as_it_is(workspace, rng):
    stored(workspace, [episode_of(rng, length, nested=False) for length in (2, 5, 3)])
    view = Episodes(workspace, LISTED, seed=None)
    assert [len(each["action"]) for each in view.unpadded(np.array([1, 0, 2]))] == [5, 2, 3]
    same_batch(view.unpadded(np.array([2]))[0], view[2])


def test_a_final_observation_that_the_source_dropped_is_zeros_and_said(workspace, rng):
    episodes = [
        episode_of(rng, 3, nested=False, has_final_observation=False),
        episode_of(rng, 3, nested=False),
    ]
    stored(workspace, episodes)
    fields = ("observation", "action", "has_final_observation")
    batch = Episodes(workspace, LISTED, seed=None, fields=fields, final_observation=True).batch(np.arange(2))
    assert batch["has_final_observation"].tolist() == [False, True]
    assert not batch["observation"][0, -1].any()
    assert np.array_equal(batch["observation"][1, -1], episodes[1].steps["observation"][-1])
    assert not batch["action"][:, -1].any()


def test_an_unknown_padding_is_refused(shelf_of_one):
    with pytest.raises(InvalidInput, match="dataset"):
        Episodes(shelf_of_one, LISTED, padding="left")


@pytest.fixture
def shelf_of_one(tmp_path, rng) -> Workspace:
    workspace = Workspace(str(tmp_path), "bin")
    stored(workspace, [episode_of(rng, 3)])
    return workspace
