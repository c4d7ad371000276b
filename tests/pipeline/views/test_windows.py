"""Windows equal a plain loop over the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.views.view import View
from pipeline.views.windows import Windows
from tests.contracts.view import ViewContract
from tests.pipeline.views import loops
from tests.pipeline.views.loops import Sample
from tests.pipeline.views.stored import LISTED, episode_of, stored

FIELDS = ("observation", "action", "reward", "mask", "episode", "timestep")


class TestWindows(ViewContract):
    defaults: ClassVar[Mapping[str, Any]] = {"length": 3, "fields": FIELDS}

    def view(self, workspace: Workspace, dataset: str, **settings: Any) -> View:
        return Windows(workspace, dataset, **settings)

    def loop(self, dataset: EpisodeDataset, **settings: Any) -> Iterable[Sample]:
        return loops.windows(dataset, **settings)

    def choices(self, dataset: EpisodeDataset) -> st.SearchStrategy[dict[str, Any]]:
        infos = tuple(name for name in dataset.array_names() if name.startswith("info"))
        return st.fixed_dictionaries(
            {
                "length": st.integers(1, int(dataset.lengths.max()) + 1),
                "fields": st.sampled_from([FIELDS, (*infos, "return_to_go", "terminated", "truncated", "discount")]),
                "skip": st.integers(1, 3),
                "padding": st.sampled_from([None, "left", "right"]),
                "frame_stack": st.integers(1, 3),
                "discount": st.sampled_from([1.0, 0.5]),
                "float64": st.booleans(),
            }
        )


@pytest.fixture
def shelf(tmp_path, rng) -> Workspace:
    workspace = Workspace(str(tmp_path), "bin")
    stored(workspace, [episode_of(rng, length) for length in (4, 2, 6)])
    return workspace


def test_a_window_longer_than_every_episode_is_refused_with_what_fits(shelf):
    with pytest.raises(InvalidInput, match=r"has 7 states.* the longest has 6\. Take a shorter one, or padding='left'"):
        Windows(shelf, LISTED, length=3, skip=3)
    assert len(Windows(shelf, LISTED, length=3, skip=3, padding="left")) == 12


@pytest.mark.parametrize(
    ("setting", "word"),
    [({"length": 0}, "length=0"), ({"skip": 0}, "skip=0"), ({"padding": "both"}, "left"), ({"length": True}, "length")],
)
def test_settings_that_are_none_are_refused_by_name(shelf, setting, word):
    with pytest.raises(InvalidInput, match=word):
        Windows(shelf, LISTED, **{"length": 2, **setting})


def test_what_is_a_stack_already_is_not_stacked_once_more(tmp_path, rng):
    workspace = Workspace(str(tmp_path), "bin")
    source = {"frame_stack": {"frames": 4, "stored": "stacks"}}
    stored(workspace, [episode_of(rng, 4)], source=source)
    with pytest.raises(InvalidInput, match="stacks of 4 frames already"):
        Windows(workspace, LISTED, length=2, frame_stack=4)
    assert Windows(workspace, LISTED, length=2)[0]["observation/image"].shape == (2, 4, 5)


def test_a_window_of_a_short_vector_can_be_a_stack_too(shelf):
    item = Windows(shelf, LISTED, length=2, frame_stack=3, fields=("observation/state",), seed=None)[0]
    assert item["observation/state"].shape == (2, 3, 3)
