"""A loader gives the samples of its view in one order, and goes on from a state exactly."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.views.loader import Loader
from tests.pipeline.views.numbered import Numbered, all_places, places_of

COUNT = 53


def wanted(view: Numbered, epoch: int) -> list[int]:
    return view.order.places(np.arange(len(view)) + epoch * len(view)).tolist()


def test_an_iteration_is_an_epoch_and_the_next_one_has_another_order():
    loader = Loader(Numbered(COUNT), 8)
    epochs = [all_places(loader) for _ in range(3)]
    assert epochs == [wanted(loader.view, epoch) for epoch in range(3)]
    assert loader.epoch == 3
    assert sorted(epochs[0]) == list(range(COUNT))
    assert len(loader) == 7


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_is_pinned_where_there_is_no_accelerator(workers):
    loader = Loader(Numbered(COUNT), 8, workers, pin_memory=True, context="fork")
    assert all(batch["observation"].is_pinned() == torch.cuda.is_available() for batch in loader)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_are_tensors_or_arrays_that_stay_as_they_are(prefetch):
    kept = list(Loader(Numbered(COUNT), 8, prefetch=prefetch))
    assert all(isinstance(value, torch.Tensor) for batch in kept for value in batch.values())
    arrays = list(Loader(Numbered(COUNT), 8, numpy=True, prefetch=prefetch))
    assert all(type(value) is np.ndarray for batch in arrays for value in batch.values())
    assert [places_of(batch) for batch in kept] == [places_of(batch) for batch in arrays]


def test_the_last_batch_may_be_left_out():
    loader = Loader(Numbered(COUNT), 8, drop_last=True)
    assert [len(batch["place"]) for batch in loader] == [8] * 6
    assert len(loader) == 6
    assert all_places(loader) == wanted(loader.view, 1)[:48]


def test_who_stops_early_goes_on_where_he_stopped():
    loader = Loader(Numbered(COUNT), 8)
    first = all_places(batch for _, batch in zip(range(2), loader, strict=False))
    assert first + all_places(loader) == wanted(loader.view, 0)
    assert all_places(loader) == wanted(loader.view, 1)


@pytest.mark.parametrize("batch_size", [8, 5, 100])
@pytest.mark.parametrize("given", [1, 3, 7])
def test_a_state_leads_to_exactly_the_samples_that_are_left(batch_size, given):
    loader = Loader(Numbered(COUNT), 8)
    assert all_places(loader) == wanted(loader.view, 0)
    for number, _ in enumerate(loader, 1):
        if number == given:
            state = json.loads(json.dumps(loader.state_dict()))
            break
    other = Loader(Numbered(COUNT), batch_size)
    other.load_state_dict(state)
    assert other.epoch == 1
    assert all_places(other) == wanted(loader.view, 1)[8 * given :]
    assert all_places(other) == wanted(loader.view, 2)


def test_a_state_can_be_loaded_in_the_middle_of_an_iteration():
    loader = Loader(Numbered(COUNT), 8)
    start = loader.state_dict()
    batches = iter(loader)
    first = places_of(next(batches))
    next(batches)
    loader.load_state_dict(start)
    assert places_of(next(batches)) == first


def test_ranks_share_an_epoch_and_a_state_fits_another_number_of_ranks():
    loaders = [Loader(Numbered(48, rank=rank, world_size=3), 4) for rank in range(3)]
    seen, states = [], []
    for loader in loaders:
        for number, batch in enumerate(loader, 1):
            seen += places_of(batch)
            if number == 2:
                states.append(loader.state_dict())
                break
    assert states[0] == states[1] == states[2]
    assert len(set(seen)) == 24
    pair = [Loader(Numbered(48, rank=rank, world_size=2), 5) for rank in range(2)]
    for loader in pair:
        loader.load_state_dict(states[0])
        seen += all_places(loader)
    assert sorted(seen) == list(range(48))
    with pytest.raises(InvalidInput, match=r"behind 24 samples of epoch 0, which world_size=5 ranks cannot share"):
        Loader(Numbered(48, world_size=5), 1).load_state_dict(states[0])


def test_a_state_of_other_samples_is_refused_and_the_difference_named():
    state = Loader(Numbered(COUNT), 8).state_dict()
    with pytest.raises(
        InvalidInput, match=r"other samples than this view's: seed is 0 there and 1 here\. Make the view"
    ):
        Loader(Numbered(COUNT, seed=1), 8).load_state_dict(state)
    with pytest.raises(InvalidInput, match=r"places is 53 there and 54 here; samples is 53 there and 54 here"):
        Loader(Numbered(COUNT + 1), 8).load_state_dict(state)
    with pytest.raises(InvalidInput, match=r"None is no state of a Loader\. Give what its state_dict\(\) returned"):
        Loader(Numbered(COUNT), 8).load_state_dict(None)
    with pytest.raises(InvalidInput, match=r"no state of a Loader of this version: \['epoch'\]"):
        Loader(Numbered(COUNT), 8).load_state_dict({"epoch": 1})


@pytest.mark.parametrize("change", [{"samples": -3}, {"epoch": -1}, {"epoch": 1.5}, {"samples": "8"}])
def test_a_state_that_is_nowhere_in_an_epoch_is_refused_by_name(change):
    loader = Loader(Numbered(COUNT), 8)
    with pytest.raises(InvalidInput, match=next(iter(change))):
        loader.load_state_dict({**loader.state_dict(), **change})
    with pytest.raises(InvalidInput, match="no state of a Loader"):
        loader.load_state_dict(None)


def test_after_an_error_the_same_batch_is_tried_again():
    view = Numbered(COUNT, seed=None, damaged=20)
    loader = Loader(view, 8)
    seen = []
    with pytest.raises(DamagedArtifact, match="Part 7"):
        for batch in loader:
            seen += places_of(batch)
    assert seen == list(range(16))
    view._damaged = -1
    assert all_places(loader) == list(range(16, COUNT))


def test_what_is_no_view_is_refused():
    with pytest.raises(InvalidInput, match=r"reads a view, such as Windows.*range\(0, 5\) is none"):
        Loader(range(5), 2)
    with pytest.raises(IndexError, match="sample -1 of .* counted from 0 on"):
        Numbered(COUNT).__getitems__([3, -1])


def test_settings_that_make_no_batch_are_refused():
    for settings, message in [
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"batch_size": 60, "drop_last": True}, r"has 53 samples .* no batch of batch_size=60 with drop_last=True"),
        ({"batch_size": 4, "numpy": True, "pin_memory": True}, "pin_memory=True is for tensors"),
        ({"batch_size": 4, "context": "threads"}, "no context named threads"),
        ({"batch_size": 4, "workers": 2, "prefetch": 0}, "prefetch=0 must be at least 1"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            Loader(Numbered(COUNT), **settings)


def test_arrays_need_no_torch():
    code = (
        "import sys; from pipeline import Loader, Windows\n"
        "from tests.pipeline.views.numbered import Numbered, all_places, places_of\n"
        "assert sorted(p for b in Loader(Numbered(53), 8, numpy=True) for p in places_of(b)) == list(range(53))\n"
        "assert len(Numbered(53).__getitems__([1, 2])) == 2\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
