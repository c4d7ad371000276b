"""Ranks share an epoch, weights are followed, and what cannot be an order is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.views.order import Order, return_weights
from pipeline.views.windows import Windows
from tests.conftest import collected, toy_domain

ENDS = np.array([4, 4, 11, 23])


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("world_size", [1, 2, 3, 23])
def test_ranks_share_the_places_of_an_epoch(seed, world_size):
    orders = [Order(ENDS, seed, rank, world_size) for rank in range(world_size)]
    for epoch in range(2):
        shares = [order.places(np.arange(len(order)) + epoch * len(order)) for order in orders]
        together = np.concatenate(shares)
        assert len(np.unique(together)) == len(together) == 23 // world_size * world_size
        whole = Order(ENDS, seed).places(np.arange(23) + epoch * 23)
        np.testing.assert_array_equal(np.stack(shares, 1).ravel(), whole[: len(together)])


def test_ranks_share_what_is_drawn_by_weight():
    weights = [1, 5, 2, 1]
    whole = Order(ENDS, 3, weights=weights, samples=1000)
    assert len(whole) == 1000
    shares = [Order(ENDS, 3, rank, 3, weights, 1000) for rank in range(3)]
    numbers = np.arange(333) + 333
    np.testing.assert_array_equal(
        np.stack([each.places(numbers) for each in shares], 1).ravel(), whole.places(np.arange(999) + 1000)
    )


def test_an_order_sent_to_another_process_is_the_same():
    order = Order(ENDS, 5, weights=[1, 0, 1, 1])
    again = pickle.loads(pickle.dumps(order))
    np.testing.assert_array_equal(again.places(np.arange(50)), order.places(np.arange(50)))
    assert again.identity() == order.identity()


def test_other_weights_are_another_identity():
    assert Order(ENDS, 5, weights=[1, 0, 1, 1]).identity() != Order(ENDS, 5, weights=[1, 0, 1, 2]).identity()


def test_episodes_weigh_by_their_return_as_hong_et_al_2023_say():
    weights = return_weights(np.array([-5.0, 15.0, 5.0]))
    np.testing.assert_allclose(weights / weights[0], np.exp(np.array([0, 1, 0.5]) / 0.1))
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_array_equal(return_weights(np.array([2.0, 2.0])), [0.5, 0.5])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    workspace = Workspace(str(tmp_path_factory.mktemp("order")), "bin")
    collected(toy_domain(), workspace)
    return workspace["toy/corner/scripted-v1"]


def test_a_place_weighs_as_its_episode_whatever_its_length(dataset):
    view = Windows.of(dataset, length=1, weights="return", samples=20_000)
    assert len(view) == 20_000
    episodes = np.searchsorted(view.order.ends, view.order.places(np.arange(20_000)), "right")
    found = np.bincount(episodes, minlength=len(dataset)) / 20_000
    wanted = return_weights(dataset.per_episode("return")) * dataset.lengths
    np.testing.assert_allclose(found, wanted / wanted.sum(), atol=0.015)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"weights": [0, 0, 0, 0]}, "They are all 0"),
        ({"weights": [1, 1, 1]}, r"needs 4 numbers, one for each of the episodes; it is int64\[3\]"),
        ({"weights": [1, 1, -1, 1]}, r"weights\[2\] is negative: -1"),
        ({"weights": [1, np.nan, 1, 1]}, r"weights\[1\] is NaN"),
        ({"weights": [0, 1, 0, 0]}, "no episode that is long enough"),
        ({"weights": [1, 1, 1, 1], "seed": None}, "needs a seed"),
        ({"samples": 10}, "length of an epoch with weights="),
        ({"rank": 2, "world_size": 2}, "rank=2 is none of the ranks 0 to 1"),
        ({"world_size": 24}, "24 ranks cannot share 23 samples"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
    ],
)
def test_what_is_no_order_is_refused(settings, wrong):
    with pytest.raises(InvalidInput, match=wrong):
        Order(ENDS, **{"seed": 0, **settings})


def test_weights_by_another_name_are_refused(dataset):
    with pytest.raises(InvalidInput, match="weights='length' is neither 'return' nor an array"):
        Windows.of(dataset, length=1, weights="length")
    with pytest.raises(InvalidInput, match="return of episode 1 is inf"):
        return_weights(np.array([0, np.inf]))
