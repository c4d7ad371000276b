"""Windows equal a plain loop over the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
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
from tests.pipeline.views.stored import LISTED, derived, episode_of, stored

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
    [
        ({"length": 0}, "length=0"),
        ({"skip": 0}, "skip=0"),
        ({"padding": "both"}, "left"),
        ({"padding": True}, "left"),
        ({"padding": "None"}, "left"),
        ({"length": True}, "length"),
    ],
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


def mixed(tmp_path, rng, parents, domain="toy", task="corner"):
    """A dataset with an episode of each of these: their parameters, and the episode."""
    workspace = Workspace(str(tmp_path), "bin")
    datasets = [
        stored(workspace, [episode], f"parent-v{number}", domain=domain, task=task, **parameters)
        for number, (parameters, episode) in enumerate(parents)
    ]
    return derived(workspace, datasets, range(len(parents)), [0] * len(parents), "mixed-v1")


def test_each_episode_of_a_derived_dataset_is_stacked_by_the_rule_of_its_own_source(tmp_path, rng):
    episodes = [episode_of(rng, 3, nested=False) for _ in range(2)]
    rules = [{"source": {"frame_stack": {"padding": rule}}} for rule in ("zeros", "repeat")]
    dataset = mixed(tmp_path, rng, list(zip(rules, episodes, strict=True)))
    batch = Windows.of(dataset, length=1, frame_stack=3, seed=None).batch(np.array([0, 3, 1, 4]))["observation"]
    first, second = (episode.steps["observation"] for episode in episodes)
    assert np.array_equal(batch[0, 0], [0 * first[0], 0 * first[0], first[0]])
    assert np.array_equal(batch[1, 0], [second[0], second[0], second[0]])
    assert np.array_equal(batch[2, 0], [0 * first[0], first[0], first[1]])
    assert np.array_equal(batch[3, 0], [second[0], second[0], second[1]])


def test_actions_of_an_atari_game_are_given_among_all_18_as_each_episode_has_them(tmp_path, rng):
    episodes = [episode_of(rng, 3, nested=False) for _ in range(2)]
    parents = [({}, episodes[0]), ({"source": {"actions": list(range(18))}}, episodes[1])]
    dataset = mixed(tmp_path, rng, parents, "atari", "pong")
    view = Windows.of(dataset, length=4, padding="right", fields=("action",), full_actions=True, seed=None)
    batch = view.batch(np.array([4, 0, 1]))["action"]
    pong = np.array([0, 1, 3, 4, 11, 12])
    own = [episode.steps["action"] for episode in episodes]
    assert batch.tolist() == [[*own[1][1:3], 0, 0], [*pong[own[0][:3]], 0], [*pong[own[0][1:3]], 0, 0]]


def test_actions_of_another_domain_are_none_of_the_18(shelf):
    with pytest.raises(InvalidInput, match="for Atari games; toy/corner/listed-v1 is none"):
        Windows(shelf, LISTED, length=2, full_actions=True)


def test_an_action_that_the_game_does_not_have_is_said(tmp_path, rng):
    episode = episode_of(rng, 3, nested=False)
    episode.steps["action"][1] = 6
    dataset = mixed(tmp_path, rng, [({}, episode)], "atari", "pong")
    with pytest.raises(InvalidInput, match="mixed-v1 has the action 6"):
        Windows.of(dataset, length=3, full_actions=True)[0]


@pytest.mark.parametrize("numbers", [[1.5], [-1], "a", 3, [[0, 1]]])
def test_numbers_that_are_none_of_samples_are_refused(shelf, numbers):
    with pytest.raises(InvalidInput, match=r"whole numbers from 0 on"):
        Windows(shelf, LISTED, length=2).batch(numbers)


def test_a_dataset_without_its_manifest_is_no_view(shelf):
    whole = shelf[LISTED]
    with pytest.raises(InvalidInput, match="opened without its manifest"):
        Windows.of(EpisodeDataset(whole.artifact.path, whole.artifact.manifest.parts), length=2)


def test_an_older_copy_is_refused_without_a_command_where_no_command_made_it(tmp_path, rng):
    episodes = [episode_of(rng, length) for length in (4, 2, 6)]
    for storage, count in (("bin", 1), ("zarr", 3)):
        stored(Workspace(str(tmp_path), storage), episodes[:count], facts={"from": "a training loop"})
    with pytest.raises(InvalidInput) as older:
        Windows(str(tmp_path), LISTED, length=2, storage="bin")
    assert str(older.value).endswith("Read all: storage='zarr'; or the first: episodes=1")
    assert len(Windows(str(tmp_path), LISTED, length=2).fields.dataset) == 3
