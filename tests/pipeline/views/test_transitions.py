"""Transitions equal a plain loop, and their targets are those of the textbook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.views.transitions import Transitions
from pipeline.views.view import View
from tests.contracts.view import ViewContract
from tests.pipeline.views import loops
from tests.pipeline.views.loops import Sample
from tests.pipeline.views.stored import episode_of, stored

FIELDS = ("observation", "action", "reward", "next_observation", "bootstrap", "episode", "timestep")
OTHERS = ("steps", "terminated", "truncated", "discount", "next_action", "return_to_go", "next_reward")


class TestTransitions(ViewContract):
    defaults: ClassVar[Mapping[str, Any]] = {"fields": FIELDS}

    def view(self, workspace: Workspace, dataset: str, **settings: Any) -> View:
        return Transitions(workspace, dataset, **settings)

    def loop(self, dataset: EpisodeDataset, **settings: Any) -> Iterable[Sample]:
        return loops.transitions(dataset, **settings)

    def choices(self, dataset: EpisodeDataset) -> st.SearchStrategy[dict[str, Any]]:
        infos = tuple(name for name in dataset.array_names() if name.startswith("info"))
        return st.fixed_dictionaries(
            {
                "fields": st.sampled_from([FIELDS, (*infos, *OTHERS)]),
                "n_step": st.integers(1, 4),
                "discount": st.sampled_from([1.0, 0.9, 0.0]),
                "final_observation": st.sampled_from(["drop", "repeat", "zero"]),
                "frame_stack": st.integers(1, 3),
                "float64": st.booleans(),
            }
        )


def of(tmp_path, episodes, **settings) -> Transitions:
    """The transitions of these episodes, in their natural order."""
    workspace = Workspace(str(tmp_path), "bin")
    return Transitions.of(stored(workspace, episodes), **{"seed": None, **settings})


def all_of(view) -> dict[str, np.ndarray]:
    return view.batch(np.arange(len(view)))


def test_a_target_is_reward_plus_bootstrap_times_the_next_value(tmp_path, rng):
    episodes = [episode_of(rng, 5, terminated=True), episode_of(rng, 4)]
    fields = ("reward", "bootstrap", "steps", "terminated", "truncated")
    batch = all_of(of(tmp_path, episodes, n_step=3, discount=0.5, fields=fields, float64=True))
    r = episodes[0].steps["reward"]
    assert batch["reward"][:5] == pytest.approx(
        [
            r[0] + r[1] / 2 + r[2] / 4,
            r[1] + r[2] / 2 + r[3] / 4,
            r[2] + r[3] / 2 + r[4] / 4,
            r[3] + r[4] / 2,
            r[4],
        ]
    )
    assert batch["bootstrap"].tolist() == [0.125, 0.125, 0, 0, 0, 0.125, 0.125, 0.25, 0.5]
    assert batch["steps"].tolist() == [3, 3, 3, 2, 1, 3, 3, 2, 1]
    assert batch["terminated"].tolist() == [False, False, True, True, True, *[False] * 4]
    assert batch["truncated"].tolist() == [*[False] * 5, False, True, True, True]


def test_discounts_of_the_dataset_are_part_of_the_product(tmp_path, rng):
    episode = episode_of(rng, 3)
    episode.steps["discount"][:3] = (1.0, 0.5, 0.0)
    batch = all_of(of(tmp_path, [episode], n_step=2, discount=0.9, float64=True))
    r = episode.steps["reward"]
    assert batch["bootstrap"] == pytest.approx([0.9 * 0.9 * 0.5, 0, 0])
    assert batch["reward"] == pytest.approx([r[0] + 0.9 * r[1], r[1] + 0.9 * 0.5 * r[2], r[2]])


@pytest.mark.parametrize(("rule", "count"), [("drop", 3 + 2), ("repeat", 6), ("zero", 6)])
def test_a_lost_final_observation_leaves_its_step_out_unless_the_episode_terminated_there(tmp_path, rng, rule, count):
    lost = {"nested": False, "has_final_observation": False}
    episodes = [episode_of(rng, 3, terminated=True, **lost), episode_of(rng, 3, terminated=False, **lost)]
    batch = all_of(of(tmp_path, episodes, discount=0.9, final_observation=rule))
    assert len(batch["reward"]) == count
    seen = [episode.steps["observation"] for episode in episodes]
    blank = np.zeros_like(seen[0][0])
    assert np.array_equal(batch["next_observation"][2], seen[0][2] if rule == "repeat" else blank)
    assert batch["bootstrap"][:3] == pytest.approx([0.9, 0.9, 0])
    assert np.array_equal(batch["next_observation"][4], seen[1][2])
    if rule != "drop":
        assert np.array_equal(batch["next_observation"][5], seen[1][2] if rule == "repeat" else blank)
        assert batch["bootstrap"][5] == pytest.approx(0.9)


def test_several_steps_end_at_the_last_observation_that_is_known(tmp_path, rng):
    episode = episode_of(rng, 4, nested=False, has_final_observation=False)
    batch = all_of(of(tmp_path, [episode], n_step=2, fields=("next_observation", "steps", "truncated")))
    assert batch["steps"].tolist() == [2, 2, 1]
    assert np.array_equal(batch["next_observation"], episode.steps["observation"][[2, 3, 3]])
    assert not batch["truncated"].any()


def test_where_no_transition_is_left_it_is_said_what_may_stand_in(tmp_path, rng):
    episodes = [episode_of(rng, 1, has_final_observation=False) for _ in range(2)]
    with pytest.raises(InvalidInput, match="final_observation='repeat'"):
        of(tmp_path, episodes)
    assert len(of(tmp_path, episodes, final_observation="repeat")) == 2


def test_pictures_of_both_ends_can_be_had(drawn):
    fields = ("frame", "next_frame", "steps", "episode")
    batch = all_of(Transitions(str(drawn), "toy/corner/scripted-v1", n_step=2, seed=None, fields=fields))
    inside = np.flatnonzero((batch["steps"] == 2)[:-2] & (batch["episode"][:-2] == batch["episode"][2:]))
    assert len(inside)
    assert np.array_equal(batch["next_frame"][inside], batch["frame"][inside + 2])


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"n_step": 0}, "n_step=0"),
        ({"discount": 1.5}, "discount=1.5"),
        ({"discount": float("nan")}, "discount=nan"),
        ({"final_observation": "keep"}, "drop, repeat, zero"),
        ({"fields": ("next_acton",)}, "next_action"),
        ({"fields": ("goal",)}, "goals='future'"),
        ({"goal_reward": "sparse"}, "goals='future'"),
        ({"goals": "future", "goal_reward": "dense"}, "sparse"),
        ({"goals": "past"}, "geometric"),
        ({"goals": ["future"]}, "or the shares of some"),
        ({"goals": {"future": 0.5}}, "add up to 1"),
        ({"goals": {"future": 1.5, "final": -0.5}}, "not negative"),
        ({"goals": {}}, "add up to 1"),
        ({"goals": "geometric", "discount": 1.0}, "goal_discount"),
    ],
)
def test_settings_that_are_none_or_contradict_each_other_are_refused(tmp_path, rng, setting, word):
    with pytest.raises(InvalidInput, match=word):
        of(tmp_path, [episode_of(rng, 3)], **setting)
