"""Several views in one: each has its share, in its own order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.views.episodes import Episodes
from pipeline.views.mixing import MixtureOrder, whole_shares
from pipeline.views.mixture import Mixture
from pipeline.views.order import Order
from pipeline.views.view import View
from pipeline.views.windows import Windows
from tests.conftest import collected, toy_domain
from tests.contracts.view import ViewContract
from tests.pipeline.views import loops
from tests.pipeline.views.loops import Sample
from tests.pipeline.views.stored import episode_of, stored


class TestMixture(ViewContract):
    """Windows that begin at each state and windows that end there, one after the other."""

    defaults: ClassVar[Mapping[str, Any]] = {"length": 3, "fields": ("observation", "action", "mask", "episode")}
    weighted = False

    def view(self, workspace: Workspace, dataset: str, **settings: Any) -> View:
        own = {name: settings.pop(name) for name in ("rank", "world_size") if name in settings}
        views = [Windows(workspace, dataset, padding=padding, **settings) for padding in ("right", "left")]
        return Mixture(views, seed=settings.get("seed", 0), **own)

    def loop(self, dataset: EpisodeDataset, **settings: Any) -> Iterable[Sample]:
        for task, padding in enumerate(("right", "left")):
            for sample in loops.windows(dataset, padding=padding, **settings):
                yield {**sample, "task": np.array(task)}

    def choices(self, dataset: EpisodeDataset) -> st.SearchStrategy[dict[str, Any]]:
        fields = st.just(("observation", "reward", "mask", "return_to_go"))
        choices = {"length": st.integers(1, 4), "fields": fields, "float64": st.booleans()}
        return st.fixed_dictionaries({**choices, "frame_stack": st.integers(1, 3), "skip": st.integers(1, 2)})


def dealt(lengths, seed=0, rank=0, world_size=1, weights=None, samples=None):
    orders = [Order(np.array([length]), 0) for length in lengths]
    return MixtureOrder(np.array(lengths), orders, seed, rank, world_size, weights, samples)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=9), st.integers(0, 5))
def test_without_weights_an_epoch_has_each_sample_of_each_view_once_and_in_its_order(lengths, seed):
    order = dealt(lengths, seed)
    views, numbers = order.pick(np.arange(2 * sum(lengths)))
    for epoch in range(2):
        now = slice(epoch * sum(lengths), (epoch + 1) * sum(lengths))
        for view, length in enumerate(lengths):
            own = numbers[now][views[now] == view]
            np.testing.assert_array_equal(own, np.arange(length) + epoch * length)
    places = order.places(np.arange(sum(lengths)))
    np.testing.assert_array_equal(np.sort(places), np.arange(sum(lengths)))


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1000).filter(lambda x: x == 0 or x > 1e-9), min_size=1, max_size=9).filter(any))
def test_with_weights_each_view_has_its_share_at_any_time(weights):
    order = dealt([50] * len(weights), weights=weights, samples=10**7)
    shares = np.array(weights) / sum(weights)
    for begin in (0, 10**5, 10**7 - 1000):
        views, numbers = order.pick(np.arange(begin, begin + 1000))
        count = np.bincount(views, minlength=len(weights))
        assert (np.abs(count - 1000 * shares) < 128).all()
        assert not count[shares == 0].any()
        last = np.array([numbers[views == view].max(initial=-1) for view in range(len(weights))])
        assert (np.abs(last + 1 - (begin + 1000) * shares) < 132)[count > 0].all()


def test_at_the_end_of_a_block_the_shares_are_exact_but_for_two():
    weights = np.random.default_rng(0).random(57)
    views, _ = dealt([100] * 57, weights=weights, samples=128 * 500).pick(np.arange(128 * 500))
    counts = np.cumsum(np.eye(57, dtype=np.int64)[views], 0)[127::128]
    wanted = np.arange(1, 501)[:, None] * 128 * weights / weights.sum()
    assert np.abs(counts - wanted).max() < 2


def test_the_views_of_a_block_are_shuffled_anew_in_each():
    views, _ = dealt([1000, 1000]).pick(np.arange(2000))
    blocks = views[: 128 * 15].reshape(15, 128)
    assert (blocks.sum(1) == 64).all()
    assert len({tuple(block) for block in blocks.tolist()}) == 15
    assert not np.array_equal(views, dealt([1000, 1000], seed=1).pick(np.arange(2000)).views)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_what_one_process_has(world_size):
    whole = dealt([300, 77, 5]).pick(np.arange(2 * 382))
    ranks = [dealt([300, 77, 5], 0, rank, world_size) for rank in range(world_size)]
    each = len(ranks[0])
    for epoch in range(2):
        picked = [rank.pick(np.arange(each) + epoch * each) for rank in ranks]
        for name in ("views", "numbers"):
            shares = np.stack([getattr(one, name) for one in picked], 1).ravel()
            np.testing.assert_array_equal(shares, getattr(whole, name)[epoch * 382 :][: len(shares)])


def test_tiny_and_huge_weights_have_shares_too():
    shares = whole_shares(np.array([1e-30, 1.0, 0.0, 1e30]))
    assert shares.tolist() == [1, 1, 0, 2**31 - 2]
    views, _ = dealt([10**10, 10**3], samples=10**9).pick(np.arange(10**9, 10**9 + 1000))
    assert (views == 0).all()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(str(tmp_path_factory.mktemp("mixed")), "bin")
    for task in ("corner", "maze"):
        collected(toy_domain(), workspace, task=task, episodes=4)
    return workspace


def views_of(workspace, **settings):
    settings = {"length": 2, "padding": "right", **settings}
    return [Windows(workspace, f"toy/{task}/scripted-v1", **settings) for task in ("corner", "maze")]


@pytest.mark.parametrize(
    "settings",
    [{}, {"padding": "left", "frame_stack": 3, "normalize": ("observation",), "fields": ("observation", "mask")}],
)
def test_a_batch_is_each_views_samples_in_their_order(workspace, settings):
    views = views_of(workspace, **settings)
    mixture = Mixture(views, seed=3)
    numbers = np.arange(len(mixture)) + len(mixture)
    batch, picked = mixture.batch(numbers), mixture.order.pick(numbers)
    assert mixture.tasks == ("toy/corner/scripted-v1", "toy/maze/scripted-v1")
    assert batch["task"].dtype == np.int64
    np.testing.assert_array_equal(batch["task"], picked.views)
    for place, number in enumerate(picked.numbers.tolist()):
        own = views[picked.views[place]].batch(np.array([number]))
        for name, array in own.items():
            np.testing.assert_array_equal(batch[name][place], array[0], err_msg=name)
    gathered = mixture.gather(mixture.order.places(numbers))
    assert batch.keys() == gathered.keys()
    for name, array in batch.items():
        np.testing.assert_array_equal(gathered[name], array, err_msg=name)


def test_in_natural_order_one_view_comes_after_the_other(workspace):
    views = views_of(workspace, seed=None)
    mixture = Mixture(views, seed=None)
    batch = mixture.batch(np.arange(len(mixture)))
    for name in ("observation", "action", "reward"):
        wanted = np.concatenate([view.batch(np.arange(len(view)))[name] for view in views])
        np.testing.assert_array_equal(batch[name], wanted)
    np.testing.assert_array_equal(mixture.order.places(np.arange(len(mixture))), np.arange(len(mixture)))


def test_whole_episodes_are_padded_to_the_longest_of_all_views(workspace):
    names = [f"toy/{task}/scripted-v1" for task in ("corner", "maze")]
    mixture = Mixture([Episodes(workspace, name, fields=("reward", "length", "mask")) for name in names])
    batch = mixture.batch(np.arange(8))
    assert batch["mask"].shape == (8, batch["length"].max())
    np.testing.assert_array_equal(batch["mask"].sum(1), batch["length"])
    assert not batch["reward"][~batch["mask"]].any()


def test_a_mixture_of_mixtures_counts_all_tasks(workspace):
    corner, maze = views_of(workspace)
    inner = Mixture([maze, corner], weights=[1, 3])
    outer = Mixture([corner, inner], weights=[1, 1], samples=4000)
    assert outer.tasks == ("toy/corner/scripted-v1", "toy/maze/scripted-v1", "toy/corner/scripted-v1")
    found = np.bincount(outer.batch(np.arange(4000))["task"], minlength=3)
    np.testing.assert_allclose(found / 4000, [0.5, 0.125, 0.375], atol=0.005)


def test_views_that_differ_are_refused_with_what_to_do(workspace):
    corner, maze = views_of(workspace)
    with pytest.raises(InvalidInput, match=r"needs a list of views, .*; it got Windows\(toy/corner"):
        Mixture(corner)
    with pytest.raises(InvalidInput, match=r"View 1 of the mixture is none: 'toy/maze/scripted-v1'\. Make it one"):
        Mixture([corner, "toy/maze/scripted-v1"])
    with pytest.raises(InvalidInput, match=r"there is none"):
        Mixture([])
    longer = views_of(workspace, length=3)[1]
    with pytest.raises(InvalidInput, match=r"action of view 1, toy/maze/scripted-v1, is .*\[3\].*full_actions=True"):
        Mixture([corner, longer])
    fewer = views_of(workspace, fields=("observation",))[1]
    with pytest.raises(InvalidInput, match=r"action of view 1, .* is not there; of view 0, .*by fields="):
        Mixture([corner, fewer])
    half = views_of(workspace, rank=0, world_size=2)[1]
    Mixture([corner, half])
    with pytest.raises(InvalidInput, match="View 1, toy/maze/scripted-v1, has rank=0 and world_size=2 already"):
        Mixture([corner, half], rank=1, world_size=2)
    with pytest.raises(InvalidInput, match=r"needs 2 numbers, one for each of the views"):
        Mixture([corner, maze], weights=[1])
    with pytest.raises(InvalidInput, match=r"weights= and samples= need a seed"):
        Mixture([corner, maze], weights=[1, 2], seed=None)


def test_games_whose_actions_differ_are_mixed_by_full_actions_alone(tmp_path, rng):
    workspace = Workspace(str(tmp_path), "bin")
    games = [
        stored(workspace, [episode_of(rng, 4, nested=False)], task=task, domain="atari")
        for task in ("pong", "breakout")
    ]
    with pytest.raises(InvalidInput, match=r"actions of view 1, atari/breakout/listed-v1, do not mean .*full_actions"):
        Mixture([Windows.of(game, length=2) for game in games])
    with pytest.raises(InvalidInput, match="do not mean"):
        Mixture([Windows.of(game, length=2, full_actions=game is games[0]) for game in games])
    both = Mixture([Windows.of(game, length=2, full_actions=True) for game in games], seed=None)
    assert set(both.batch(np.arange(6))["action"][:3].ravel().tolist()) <= {0, 1, 3, 4, 11, 12}
    Mixture([Windows.of(game, length=2, fields=("observation",)) for game in games])
