"""Hindsight goals: states of the same episode, drawn anew in each epoch, in an order that can be repeated."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.views.transitions import Transitions
from tests.pipeline.views.stored import LISTED, episode_of, stored

FIELDS = ("reward", "bootstrap", "steps", "episode", "timestep", "goal", "goal_offset", "terminated")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Workspace:
    workspace = Workspace(str(tmp_path_factory.mktemp("goals")), "bin")
    rng = np.random.default_rng(1)
    lengths = (6, 1, 9, 4)
    episodes = [episode_of(rng, each, nested=False, terminated=number == 2) for number, each in enumerate(lengths)]
    stored(workspace, [*episodes, episode_of(rng, 5, nested=False, terminated=True, has_final_observation=False)])
    return workspace


def drawn(shelf, goals, epochs=200, **settings):
    view = Transitions(shelf, LISTED, goals=goals, **{"fields": FIELDS, **settings})
    return view, view.batch(np.arange(epochs * len(view)))


def goal_rows(shelf, batch) -> np.ndarray:
    """The observations so many steps later."""
    seen = [episode.steps["observation"] for episode in shelf[LISTED]]
    places = zip(batch["episode"].tolist(), (batch["timestep"] + batch["goal_offset"]).tolist(), strict=True)
    return np.stack([seen[episode][row] for episode, row in places])


@pytest.mark.parametrize("goals", ["future", "final", "geometric", "current"])
def test_a_goal_is_the_observation_so_many_steps_later_in_the_same_episode(shelf, goals):
    view, batch = drawn(shelf, goals, 3)
    assert np.array_equal(batch["goal"], goal_rows(shelf, batch))
    left = np.array([6, 1, 9, 4, 4])[batch["episode"]] - batch["timestep"]
    offsets = batch["goal_offset"]
    if goals in ("future", "geometric"):
        assert ((offsets >= 1) & (offsets <= left)).all()
    else:
        assert np.array_equal(offsets, left if goals == "final" else 0 * left)
    assert len(view) == 6 + 1 + 9 + 4 + 4  # the last step of an episode without its last observation has no goal


def test_each_later_observation_is_as_likely_a_goal(shelf):
    _, batch = drawn(shelf, "future", 600)
    here = (batch["episode"] == 2) & (batch["timestep"] == 4)
    assert np.bincount(batch["goal_offset"][here], minlength=6)[1:] / 600 == pytest.approx(np.full(5, 0.2), abs=0.06)


def test_a_geometric_goal_lies_k_steps_later_with_its_probability_and_never_beyond_the_last(shelf):
    _, batch = drawn(shelf, "geometric", 600, goal_discount=0.5)
    here = (batch["episode"] == 2) & (batch["timestep"] == 5)
    found = np.bincount(batch["goal_offset"][here], minlength=5)[1:] / 600
    assert found == pytest.approx([0.5, 0.25, 0.125, 0.125], abs=0.06)


def test_a_mixture_of_goals_has_its_shares_and_random_ones_are_of_any_episode(shelf):
    _, batch = drawn(shelf, {"final": 0.25, "random": 0.5, "current": 0.25}, 300)
    random = batch["goal_offset"] == -1
    assert random.mean() == pytest.approx(0.5, abs=0.03)
    pool = np.concatenate([shelf[LISTED][number].steps["observation"] for number in range(4)])
    pool = np.concatenate([pool, shelf[LISTED][4].steps["observation"][:-1]])
    goals = {each.tobytes() for each in batch["goal"][random]}
    assert goals == {each.tobytes() for each in pool}


def test_goals_are_drawn_anew_in_each_epoch_and_again_the_same_by_the_same_seed(shelf):
    view, batch = drawn(shelf, "future", 2, seed=4)
    again, rank = (
        Transitions(shelf, LISTED, goals="future", fields=FIELDS, seed=4, rank=rank, world_size=world)
        for rank, world in ((0, 1), (1, 2))
    )
    for name, array in again.batch(np.arange(2 * len(view))).items():
        assert np.array_equal(array, batch[name])
    by_place = [
        dict(zip(_places(batch, e, len(view)), batch["goal_offset"].reshape(2, -1)[e], strict=True)) for e in (0, 1)
    ]
    assert by_place[0] != by_place[1]
    others = rank.batch(np.arange(2 * len(rank)))
    assert np.array_equal(others["goal_offset"], batch["goal_offset"][1::2])
    assert not np.array_equal(drawn(shelf, "future", 2, seed=5)[1]["goal_offset"], batch["goal_offset"])


def _places(batch, epoch, length):
    pairs = zip(batch["episode"].tolist(), batch["timestep"].tolist(), strict=True)
    return list(pairs)[epoch * length : (epoch + 1) * length]


@pytest.mark.parametrize("goals", ["future", {"current": 0.3, "random": 0.3, "future": 0.4}])
def test_a_sparse_reward_is_minus_one_a_step_until_the_goal_is_reached_and_ends_there(shelf, goals):
    _, batch = drawn(shelf, goals, 20, n_step=3, discount=0.5, goal_reward="sparse", float64=True)
    for reward, bootstrap, steps, offset, terminated in zip(
        *(batch[name].tolist() for name in ("reward", "bootstrap", "steps", "goal_offset", "terminated")), strict=True
    ):
        wanted, weight, reached = 0.0, 1.0, offset == 0
        for step in range(1, steps + 1):
            if reached:
                break
            reached = step == offset
            wanted -= 0 if reached else weight
            weight *= 0 if terminated and step == steps else 0.5
        assert reward == pytest.approx(wanted)
        assert bootstrap == pytest.approx(0 if reached else weight)
