"""A batch that was read at once stays one, whatever a DataLoader does with it, and what was changed stays changed."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, default_collate

from pipeline import errors
from pipeline.views.collate import SampleList
from tests.pipeline.views.numbered import Numbered, all_places, places_of

COUNT = 20


@pytest.fixture
def view() -> Numbered:
    return Numbered(COUNT, seed=None)


def test_the_default_collate_gives_the_batch_itself(view):
    samples = view.__getitems__([3, 1, 2])
    assert isinstance(samples, SampleList)
    batch = default_collate(samples)
    assert type(batch) is dict
    assert places_of(batch) == [3, 1, 2]
    assert batch["observation"].data_ptr() == samples.batch["observation"].ctypes.data


def test_samples_are_a_sequence_of_dicts(view):
    samples = view.__getitems__([3, 1, 2])
    assert len(samples) == 3
    assert [int(sample["place"]) for sample in samples] == [3, 1, 2]
    assert [int(sample["place"]) for sample in reversed(samples)] == [2, 1, 3]
    assert [int(sample["place"]) for sample in samples[:2]] == [3, 1]
    assert samples[-1]["observation"].shape == (4096,)
    with pytest.raises(IndexError):
        samples[3]


@pytest.mark.parametrize(
    "change",
    [
        lambda sample: sample.update(reward=sample["reward"] * 2),
        lambda sample: sample.__setitem__("reward", sample["reward"] + sample["place"]),
        lambda sample: sample.__setitem__("reward", sample.pop("reward") * 2),
        lambda sample: sample["reward"].__imul__(2),
    ],
)
def test_what_is_changed_in_a_sample_is_changed_in_the_batch(view, change):
    samples = view.__getitems__([3, 0, 2])
    for sample in samples:
        change(sample)
    assert (default_collate(samples)["reward"][:, 0] == torch.tensor([6, 0, 4])).all()


def test_a_field_may_be_taken_out_or_added(view):
    samples = view.__getitems__([3, 0, 2])
    for sample in samples:
        del sample["mask"]
        sample["twice"] = sample["place"] * 2
    batch = default_collate(samples)
    assert "mask" not in batch
    assert batch["twice"].tolist() == [6, 0, 4]


def test_samples_of_several_batches_are_stacked(view):
    samples = [view.__getitems__([3, 1])[1], view.__getitems__([5])[0], view[7]]
    assert places_of(default_collate(samples[:2])) == [1, 5]
    assert places_of(default_collate([dict(sample) for sample in samples])) == [1, 5, 7]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"collate_fn": lambda samples: {name: torch.from_numpy(array) for name, array in samples.batch.items()}},
        {"collate_fn": lambda samples: default_collate([{**sample} for sample in samples])},
    ],
)
def test_a_dataloader_reads_all_samples(view, settings):
    assert all_places(DataLoader(view, 6, **settings)) == list(range(COUNT))
    assert all_places(DataLoader(Subset(view, [3, 5, 19]), 2, **settings)) == [3, 5, 19]


def test_a_dataloader_without_batches_gives_single_samples(view):
    samples = list(DataLoader(view, batch_size=None))
    assert [int(sample["place"]) for sample in samples] == list(range(COUNT))
    assert isinstance(samples[3]["observation"], torch.Tensor)


def test_an_epoch_of_a_plain_dataloader_is_set_by_the_trainer():
    view = Numbered(COUNT)
    first = all_places(DataLoader(view, 6))
    view.set_epoch(1)
    second = all_places(DataLoader(view, 6))
    assert first == view.order.places(np.arange(COUNT)).tolist()
    assert second == view.order.places(np.arange(COUNT) + COUNT).tolist()
    assert int(view[0]["place"]) == second[0]


def test_every_error_survives_torchs_way_from_a_worker_to_the_trainer():
    """torch raises the type again, with a text alone."""
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.PipelineError):
            assert "what\nto do" in str(kind("what\nto do")), kind
