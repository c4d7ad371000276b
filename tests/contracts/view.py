"""What every View must keep; a subclass named Test... gives `view`, `loop` and `choices` and inherits the checks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.storage.choice import storages
from pipeline.views.view import View
from tests.episodes import Kinds, datasets
from tests.pipeline.views.loops import Sample
from tests.pipeline.views.stored import LISTED, derived, episode_of, stored

KINDS = Kinds(pictures=False, dimensions=2, wide_rewards=False, info_texts=False, resets=False, missing_ends=True)
"""What made-up datasets have: all that a view sees."""

SUMS = ("reward", "return_to_go", "bootstrap")
"""Fields that are sums and products of float64: the order in which these are taken may differ."""


class Shelf(NamedTuple):
    """A workspace with the dataset `LISTED`."""

    workspace: Workspace
    episodes: list[Episode]


def made_shelf(folder: Path, storage: str) -> Shelf:
    """Eleven episodes in six parts."""
    rng = np.random.default_rng(3)
    workspace = Workspace(str(folder), storage)
    episodes = [episode_of(rng, int(rng.integers(2, 9)), number % 2 == 0, seed=number) for number in range(11)]
    stored(workspace, episodes)
    return Shelf(workspace, episodes)


def same_sample(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], float64: bool = False) -> None:
    """Raises AssertionError where a sample is not what a plain loop gives."""
    assert got.keys() == wanted.keys()
    for name, array in got.items():
        want = wanted[name]
        dtype = np.dtype(np.float32) if want.dtype == np.float64 and not float64 else want.dtype
        assert (array.dtype, array.shape) == (dtype, want.shape), name
        if name in SUMS:
            np.testing.assert_allclose(array, want, rtol=1e-6, atol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(array, want.astype(dtype), name)


def same_batch(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    """Raises AssertionError where two batches differ in a bit."""
    assert list(got) == list(wanted)
    for name, array in got.items():
        assert array.dtype == wanted[name].dtype
        np.testing.assert_array_equal(array, wanted[name], name)


def without_rank(identity: Any) -> Any:
    """An identity without the number of its rank."""
    if isinstance(identity, dict):
        return {name: without_rank(value) for name, value in identity.items() if name != "rank"}
    return [without_rank(value) for value in identity] if isinstance(identity, list) else identity


class ViewContract:
    """Inherit, and give `view`, `loop` and `choices`.

    Attributes:
        defaults: settings of the tests that need only some.
        weighted: it takes weights of episodes.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    weighted: ClassVar[bool] = True

    def view(self, workspace: Workspace, dataset: str, **settings: Any) -> View:
        """The view of a dataset by its name."""
        raise NotImplementedError

    def loop(self, dataset: EpisodeDataset, **settings: Any) -> Iterable[Sample]:
        """Its samples in their natural order, by a plain loop."""
        raise NotImplementedError

    def choices(self, dataset: EpisodeDataset) -> st.SearchStrategy[dict[str, Any]]:
        """Settings to try on a made-up dataset."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def shelf(cls, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
        """A workspace of bin files."""
        return made_shelf(tmp_path_factory.mktemp("views"), "bin")

    @pytest.fixture(scope="class")
    @classmethod
    def zarr_shelf(cls, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
        """The same with the storage `zarr`."""
        return made_shelf(tmp_path_factory.mktemp("views"), "zarr")

    def of(self, shelf: Shelf, dataset: str = LISTED, **settings: Any) -> View:
        """The view with the default settings."""
        return self.view(shelf.workspace, dataset, **{**self.defaults, **settings})

    def natural(self, shelf: Shelf, dataset: str = LISTED, **settings: Any) -> dict[str, np.ndarray]:
        """All samples in their natural order."""
        view = self.of(shelf, dataset, seed=None, **settings)
        return view.batch(np.arange(len(view)))

    @settings(phases=[__import__("hypothesis").Phase.generate], max_examples=5, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_in_natural_order_it_is_what_a_plain_loop_over_the_dataset_gives(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ):
        storage = data.draw(st.sampled_from([storage.name for storage in storages()]))
        workspace = Workspace(str(tmp_path_factory.mktemp("made-up")), storage)
        source = {"frame_stack": {"frames": 4, "padding": data.draw(st.sampled_from(["repeat", "zeros"]))}}
        dataset = stored(workspace, data.draw(datasets(KINDS)), per_part=data.draw(st.integers(1, 3)), source=source)
        if data.draw(st.booleans(), "derived"):
            numbers = data.draw(st.lists(st.integers(0, len(dataset) - 1), min_size=1, max_size=5))
            dataset = derived(workspace, [dataset], [0] * len(numbers), numbers, "derived-v1")
        chosen = data.draw(self.choices(dataset))
        wanted = list(self.loop(dataset, **chosen))
        if not wanted:
            with pytest.raises(InvalidInput):
                self.view(workspace, dataset.name, seed=None, **chosen)
            return
        view = self.view(workspace, dataset.name, seed=None, **chosen)
        assert len(view) == len(wanted)
        for number, sample in enumerate(wanted):
            same_sample(view[number], sample, chosen.get("float64", False))

    def test_both_storages_give_the_same(self, shelf: Shelf, zarr_shelf: Shelf):
        same_batch(self.of(shelf).batch(np.arange(20)), self.of(zarr_shelf).batch(np.arange(20)))

    def test_its_identity_is_json_and_the_same_in_both_storages_and_in_all_ranks_but_for_their_number(
        self, shelf: Shelf, zarr_shelf: Shelf
    ):
        identity = self.of(shelf).identity()
        assert json.loads(json.dumps(identity)) == identity == self.of(zarr_shelf).identity()
        ranks = [self.of(shelf, rank=rank, world_size=2).identity() for rank in range(2)]
        assert without_rank(ranks[0]) == without_rank(ranks[1])
        assert ranks[0] != ranks[1]
        for changed in ({"seed": 1}, {"episodes": 5}, {"float64": True}):
            assert self.of(shelf, **changed).identity() != identity

    def test_no_places_give_empty_arrays_of_the_same_fields(self, shelf: Shelf):
        view = self.of(shelf)
        some, none = view.batch(np.arange(2)), view.gather(np.zeros(0, np.int64))
        assert {name: (0, array.dtype) for name, array in some.items()} == {
            name: (len(array), array.dtype) for name, array in none.items()
        }

    def test_a_batch_is_its_samples(self, shelf: Shelf):
        view = self.of(shelf)
        numbers = np.array([5, 0, 5, 2])
        batch, items = view.batch(numbers), view.__getitems__(numbers.tolist())
        for place, number in enumerate(numbers.tolist()):
            same_batch({name: array[place] for name, array in batch.items()}, items[place])
            self.same_but_for_padding(items[place], view[number])

    def same_but_for_padding(self, in_batch: Mapping[str, np.ndarray], alone: Mapping[str, np.ndarray]) -> None:
        """Raises AssertionError unless a sample of a batch is what it is alone."""
        same_batch(in_batch, alone)

    def test_an_epoch_has_each_place_once_and_a_seed_decides_its_order(self, shelf: Shelf):
        view, natural = self.of(shelf), self.of(shelf, seed=None)
        numbers = np.arange(len(view))
        places = view.order.places(numbers)
        assert np.array_equal(np.sort(places), natural.order.places(numbers))
        assert not np.array_equal(places, natural.order.places(numbers))
        assert np.array_equal(self.of(shelf).order.places(numbers), places)
        assert not np.array_equal(self.of(shelf, seed=1).order.places(numbers), places)
        same_batch(view.batch(numbers[3:9]), natural.batch(places[3:9]))

    def test_numbers_count_on_through_the_epochs(self, shelf: Shelf):
        view, later = self.of(shelf), self.of(shelf)
        epoch = len(view)
        places = view.order.places(np.arange(3 * epoch)).reshape(3, epoch)
        assert [sorted(each) for each in places.tolist()] == [list(range(epoch))] * 3
        assert len({tuple(each) for each in places.tolist()}) == 3
        later.set_epoch(2)
        same_batch(later.__getitems__([3])[0], view.__getitems__([2 * epoch + 3])[0])
        same_batch(later[3], view.__getitems__([2 * epoch + 3])[0])
        same_batch(later.batch(np.array([1, 4])), view.batch(np.array([1, 4])))  # by its numbers alone

    def test_a_number_that_is_none_is_refused_with_what_to_do(self, shelf: Shelf):
        view = self.of(shelf)
        with pytest.raises(TypeError, match=r"slice\(0, 3, None\)\]: .*view\.batch"):
            view[0:3]  # type: ignore[index]
        with pytest.raises(InvalidInput, match="epoch=-1 must be at least 0"):
            view.set_epoch(-1)

    @pytest.mark.parametrize("world_size", [2, 3])
    def test_ranks_share_an_epoch_without_overlap_and_leave_out_what_does_not_divide(
        self, shelf: Shelf, world_size: int
    ):
        whole = self.of(shelf)
        ranks = [self.of(shelf, rank=rank, world_size=world_size) for rank in range(world_size)]
        assert {len(rank) for rank in ranks} == {len(whole) // world_size}
        for epoch in range(2):
            numbers = np.arange(len(ranks[0])) + epoch * len(ranks[0])
            places = np.stack([rank.order.places(numbers) for rank in ranks])
            assert len(set(places.ravel().tolist())) == places.size
            shared = whole.order.places(epoch * len(whole) + np.arange(places.size))
            assert np.array_equal(places.T.ravel(), shared)

    def test_it_can_be_sent_to_another_process_unused_and_with_its_files_open(self, shelf: Shelf, zarr_shelf: Shelf):
        for each in (shelf, zarr_shelf):
            view, numbers = self.of(each), np.arange(4)
            unused = pickle.dumps(view)
            before = view.batch(numbers)
            for sent in (unused, pickle.dumps(view)):
                same_batch(pickle.loads(sent).batch(numbers), before)

    def test_a_forked_worker_of_a_data_loader_gives_the_same_batches(self, zarr_shelf: Shelf):
        view = self.of(zarr_shelf)
        loader = DataLoader(view, batch_size=8, num_workers=1, multiprocessing_context="fork")
        for number, batch in enumerate(loader):
            numbers = np.arange(8 * number, min(8 * number + 8, len(view)))
            same_batch({name: tensor.numpy() for name, tensor in batch.items()}, view.batch(numbers))
        assert number == (len(view) - 1) // 8

    def test_a_number_beyond_the_last_is_an_index_error(self, shelf: Shelf):
        view = self.of(shelf)
        same_batch(view[-1], view[len(view) - 1])
        for number in (len(view), -len(view) - 1):
            with pytest.raises(IndexError, match=str(number)):
                view[number]

    def test_a_derived_dataset_is_viewed_as_its_episodes_stored_anew(self, shelf: Shelf):
        parent = shelf.workspace[LISTED]
        owners, numbers = [0, 1, 0, 1, 1], [9, 3, 0, 10, 3]
        stored(shelf.workspace, shelf.episodes[::-1], "second-v1")
        pair = [parent, shelf.workspace["toy/corner/second-v1"]]
        derived(shelf.workspace, pair, owners, numbers, "mixed-v1")
        lists = [shelf.episodes, shelf.episodes[::-1]]
        anew = [lists[owner][number] for owner, number in zip(owners, numbers, strict=True)]
        stored(shelf.workspace, anew, "anew-v1")
        same_batch(self.natural(shelf, "toy/corner/mixed-v1"), self.natural(shelf, "toy/corner/anew-v1"))

    def test_a_prefix_is_viewed_as_a_dataset_of_so_many_episodes(self, shelf: Shelf):
        stored(shelf.workspace, shelf.episodes[:5], "first-v1")
        same_batch(self.natural(shelf, episodes=5), self.natural(shelf, "toy/corner/first-v1"))

    def test_a_dataset_that_grew_keeps_its_prefix(self, shelf: Shelf):
        name = "toy/corner/growing-v1"
        stored(shelf.workspace, shelf.episodes[:4], "growing-v1")
        view = self.of(shelf, name)
        numbers = np.arange(len(view))
        before = view.batch(numbers)
        stored(shelf.workspace, shelf.episodes[:9], "growing-v1")
        for each in (view, pickle.loads(pickle.dumps(view)), self.of(shelf, name, episodes=4)):
            same_batch(each.batch(numbers), before)
        assert len(self.of(shelf, name)) > len(view)

    def test_more_episodes_than_there_are_is_said(self, shelf: Shelf):
        with pytest.raises(InvalidInput, match="11 episodes"):
            self.of(shelf, episodes=12)

    def test_an_episode_is_drawn_in_proportion_to_its_weight(self, shelf: Shelf):
        self.needs_weights()
        weights = np.zeros(11)
        weights[[2, 5, 7]] = (1, 2, 1)
        view = self.of(shelf, weights=weights, samples=2000, fields=("episode",))
        episodes = view.batch(np.arange(2000))["episode"]
        found = np.bincount(episodes, minlength=11) / 2000
        assert set(np.flatnonzero(found).tolist()) == {2, 5, 7}
        assert np.abs(found - weights / 4).max() < 0.05
        again = self.of(shelf, weights=weights, samples=2000, fields=("episode",))
        assert np.array_equal(again.batch(np.arange(2000))["episode"], episodes)
        assert not np.array_equal(view.batch(2000 + np.arange(2000))["episode"], episodes)

    @pytest.mark.parametrize(
        ("weights", "word"), [(np.zeros(11), "all 0"), (np.ones(10), "11 numbers"), ("age", "age")]
    )
    def test_weights_that_are_none_are_refused(self, shelf: Shelf, weights: Any, word: str):
        self.needs_weights()
        with pytest.raises(InvalidInput, match=word):
            self.of(shelf, weights=weights)

    def test_a_field_that_no_array_has_is_answered_with_those_there_are(self, shelf: Shelf):
        with pytest.raises(InvalidInput, match="observation/image") as error:
            self.of(shelf, fields=("observation", "acton"))
        assert "acton" in str(error.value)
        assert "return_to_go" in str(error.value)

    @pytest.mark.parametrize("fields", [(), ("action", "action")])
    def test_no_field_and_a_field_twice_are_refused(self, shelf: Shelf, fields: tuple[str, ...]):
        with pytest.raises(InvalidInput, match="field"):
            self.of(shelf, fields=fields)

    @pytest.mark.parametrize(
        "setting",
        [
            {"rank": 2, "world_size": 2},
            {"rank": -1},
            {"world_size": 0},
            {"frame_stack": 0},
            {"seed": -1},
            {"episodes": 0},
            {"discount": 1.5},
            {"discount": float("nan")},
        ],
    )
    def test_settings_beyond_their_range_are_refused_by_name(self, shelf: Shelf, setting: dict[str, Any]):
        with pytest.raises(InvalidInput, match=next(iter(setting))):
            self.of(shelf, **setting)

    def test_an_unknown_dataset_is_answered_with_those_there_are(self, shelf: Shelf):
        with pytest.raises(InvalidInput, match="listed-v1"):
            self.of(shelf, "toy/corner/listd-v1")

    def needs_weights(self) -> None:
        """Skips a test of what the view does not take."""
        if not self.weighted:
            pytest.skip("it takes no weights")
