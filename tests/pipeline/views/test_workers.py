"""Batches that worker processes read: the same ones in the same order, in memory that nothing changes meanwhile."""

import gc
import multiprocessing
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Sampler, default_collate

from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact
from pipeline.views import shared
from pipeline.views.buffers import SHARED_BATCHES
from pipeline.views.loader import Loader
from pipeline.views.windows import Windows
from tests.conftest import STORAGES
from tests.pipeline.views.numbered import Numbered, all_places, places_of
from tests.pipeline.views.stored import episode_of, stored

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

COUNT = 203

MOST = 4 * SHARED_BATCHES
"""Pieces of memory of one worker: a batch has two, and two more for what the view itself took from elsewhere."""

METHODS = ["fork", *(pytest.param(name, marks=pytest.mark.slow) for name in ("forkserver", "spawn"))]


def wanted(epoch: int, seed: int | None = 0) -> list[int]:
    view = Numbered(COUNT, seed)
    return view.order.places(np.arange(COUNT) + epoch * COUNT).tolist()


def mapped() -> int:
    """Pieces of workers' memory that this process has mapped."""
    return len(re.findall(r"memfd:batch", Path("/proc/self/maps").read_text()))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("context", METHODS)
def test_workers_change_neither_the_order_nor_what_was_given_out(context):
    loader = Loader(Numbered(COUNT), 8, workers=3, context=context)
    kept = [batch for _ in range(2) for batch in loader]
    assert all_places(kept) == wanted(0) + wanted(1)
    assert all(type(batch) is dict and isinstance(batch["mask"], torch.Tensor) for batch in kept)
    del kept
    addresses = {batch["observation"].data_ptr() for batch in loader}
    assert len(addresses) <= 3 * SHARED_BATCHES
    batches = iter(loader)
    first = all_places(next(batches) for _ in range(3))
    state = loader.state_dict()
    other = Loader(Numbered(COUNT), 7, workers=1, numpy=True, context=context)
    other.load_state_dict(state)
    rest = list(other)
    assert all(type(value) is np.ndarray for batch in rest for value in batch.values())
    assert first + all_places(rest) == wanted(3)
    here = Loader(Numbered(COUNT), 9)
    here.load_state_dict(state)
    assert first + all_places(here) == wanted(3)


@pytest.mark.parametrize("persistent", [False, True])
def test_a_plain_dataloader_reads_batches_at_once_and_leaves_nothing_behind(persistent):
    plain = DataLoader(
        Numbered(COUNT, seed=None), 8, num_workers=1, multiprocessing_context="fork", persistent_workers=persistent
    )
    files = open_files()
    most = 0
    for _ in range(6):
        kept = [batch for batch, _ in zip(plain, range(13), strict=False)]
        assert all_places(kept) == list(range(13 * 8))
        most = max(most, mapped())
    del plain, kept
    gc.collect()
    shared.forget_ended_workers()
    assert 0 < most <= 2 * MOST
    assert mapped() == 0
    assert open_files() <= files


@pytest.mark.parametrize("storage", STORAGES)
def test_windows_of_either_storage_are_the_same_in_a_worker(storage, tmp_path, rng):
    dataset = stored(Workspace(str(tmp_path), storage), [episode_of(rng, length) for length in (7, 30, 4)])
    view = Windows.of(dataset, length=3, padding="left", fields=("observation", "reward", "mask", "timestep"))
    read_here = list(Loader(view, 9, prefetch=0))  # so its files are open when the process is forked
    for here, there in zip(read_here, Loader(view, 9, workers=1, context="fork"), strict=True):
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here)


def test_several_loaders_may_be_read_at_once():
    loaders = [Loader(Numbered(COUNT, seed), 8, workers=1, context="fork") for seed in (1, 2)]
    pairs = list(zip(*loaders, strict=True))
    for seed, batches in zip((1, 2), zip(*pairs, strict=True), strict=True):
        assert all_places(batches) == wanted(0, seed)


def test_a_process_that_is_forked_while_batches_are_held_does_not_let_go_of_them():
    loader = Loader(Numbered(COUNT, seed=None), 8, workers=1, context="fork")
    batches = iter(loader)
    kept = next(batches)
    if not (child := os.fork()):
        del kept
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(batches)) == len(loader) - 1
    assert places_of(kept) == list(range(8))


def test_a_worker_that_is_killed_is_an_error_after_which_reading_goes_on_with_the_same_batch():
    trainer = multiprocessing.get_context("fork").Process(target=train_while_a_worker_is_killed)
    trainer.start()  # torch raises wherever the trainer stands: nothing of pytest may stand there
    trainer.join(120)
    assert trainer.exitcode == 0


def train_while_a_worker_is_killed():
    loader = Loader(Numbered(COUNT), 8, workers=2, context="fork")
    seen, killed = [], 0
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid.*(is killed by signal|exited unexpectedly)"):
        for batch in loader:
            seen += places_of(batch)
            if len(seen) == 5 * 8:
                killed = loader._processes._iterator._workers[0].pid
                os.kill(killed, signal.SIGKILL)
    assert len(seen) < COUNT
    seen += all_places(loader)
    assert seen == wanted(0)
    del batch
    loader.close()
    gc.collect()
    assert mapped() == 0
    assert not list(Path("/dev/shm").glob(f"*_{killed}_*"))


def test_an_error_in_a_worker_arrives_as_it_was_raised():
    view = Numbered(COUNT, seed=None, damaged=20)
    loader = Loader(view, 8, workers=1, context="fork")
    seen = []
    with pytest.raises(DamagedArtifact) as caught:
        for batch in loader:
            seen += places_of(batch)
    assert seen == list(range(16))
    expected = r"Part 7 in process \d+ is torn.\nRemove it and make it again: python run.py stage=collect domain=toy"
    assert re.fullmatch(expected, str(caught.value))
    assert str(os.getpid()) not in str(caught.value)
    with pytest.raises(DamagedArtifact, match=expected):  # torch itself puts a traceback around it
        list(DataLoader(view, 8, num_workers=1, multiprocessing_context="fork"))


def test_a_trainer_that_keeps_more_than_is_shared_gets_copies():
    loader = Loader(Numbered(COUNT), 2, workers=1, context="fork")
    kept = list(loader)
    assert all_places(kept) == wanted(0)
    assert mapped() <= MOST


def test_what_a_workers_own_collate_makes_arrives_whole():
    def changed(samples):
        for sample in samples:
            sample["reward"] = sample["reward"] * 2
        batch = default_collate(samples)
        return {**batch, "half": batch["reward"] / 2, "name": "changed"}

    plain = DataLoader(Numbered(COUNT, seed=None), 8, num_workers=1, multiprocessing_context="fork", collate_fn=changed)
    batches = list(plain)
    assert [place for batch in batches for place in batch["place"].tolist()] == list(range(COUNT))
    for batch in batches:
        assert (batch["reward"] == 2 * batch["place"][:, None]).all()
        assert places_of({**batch, "reward": batch["half"]})
        assert batch["name"] == "changed"


def test_buffers_of_a_worker_grow_where_batches_do():
    sizes = [1, 9, 2, 17, 3, 40, 1]

    class Sizes(Sampler):
        def __iter__(self):
            at = 0
            for size in sizes * 3:
                yield [number % COUNT for number in range(at, at + size)]
                at += size

    plain = DataLoader(Numbered(COUNT, seed=None), batch_sampler=Sizes(), num_workers=1, multiprocessing_context="fork")
    read = list(plain)
    assert [len(batch["place"]) for batch in read] == sizes * 3
    assert all_places(read) == [number % COUNT for number in range(sum(sizes) * 3)]


@pytest.mark.parametrize("error", [ConnectionResetError, EOFError, FileNotFoundError])
def test_a_worker_that_is_killed_while_its_memory_is_fetched_is_told_as_any_that_is_killed(error):
    class Gone:
        def detach(self) -> int:
            raise error

    loan = shared.Loan(token="none", process=os.getpid(), number=0, size=8192, loan=1, file=Gone())
    with pytest.raises(RuntimeError, match=rf"worker \(pid {os.getpid()}\) exited unexpectedly"):
        loan.array()
