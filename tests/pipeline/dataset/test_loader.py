"""Spawned workers of a torch DataLoader read what the parent reads."""

import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader

from pipeline import Contexts, EpisodeDataset, ExactIndex, Frames, Workspace
from pipeline.errors import InvalidInput
from tests.conftest import made_episode
from tests.pipeline.dataset.test_writer import written


def workers(dataset, **options):
    return DataLoader(dataset, num_workers=2, multiprocessing_context="spawn", **options)


def test_a_loader_with_spawned_workers_reads_episodes_and_contexts(made):
    _, workspace = made
    dataset = workspace["toy/corner/scripted-v1"]
    read = [episode.digest() for batch in workers(dataset, batch_size=6, collate_fn=list) for episode in batch]
    assert read == [episode.digest() for episode in dataset]
    contexts = Contexts.of(workspace.find("bins", "toy/corner"))
    first, *_ = workers(contexts, batch_size=5)
    for name, column in contexts.batch(np.arange(5)).items():
        np.testing.assert_array_equal(first[name], column)


def test_a_forked_worker_reads_bin_and_says_of_zarr_what_to_do(made):
    _, workspace = made
    loader = DataLoader(workspace["toy/corner/scripted-v1"], None, num_workers=1, multiprocessing_context="fork")
    if workspace.storage.name == "bin":
        assert len(list(loader)) == 20
    else:
        with pytest.raises(InvalidInput, match=r"forked process cannot read.*multiprocessing_context=.*spawn"):
            list(loader)


@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_a_copy_in_another_process_has_no_open_file_and_the_same_prefix(tmp_path, storage):
    rng = np.random.default_rng(0)
    parts = written(tmp_path, [made_episode(rng, 20) for _ in range(30)], storage)
    dataset = EpisodeDataset(tmp_path, parts, 11)
    list(dataset)
    sent = pickle.dumps(dataset)
    assert b"mmap" not in sent
    assert b"zarr" not in sent
    assert len(pickle.loads(sent)) == 11
    assert pickle.loads(sent).digest() == dataset.digest()


def test_a_slice_a_workspace_and_an_index_can_be_sent(made, rng):
    _, workspace = made
    again = pickle.loads(pickle.dumps(workspace))
    assert (again.root, again.storage.name) == (workspace.root, workspace.storage.name)
    part = workspace["toy/corner/scripted-v1"][3:9:2]
    assert [e.digest() for e in pickle.loads(pickle.dumps(part))] == [e.digest() for e in part]
    keys = rng.normal(size=(50, 3)).astype(np.float32)
    index = ExactIndex(keys)
    wanted = index.search(keys, 4).rows
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(index)).search(keys, 4).rows, wanted)


def test_pictures_can_be_sent(tmp_path):
    from tests.conftest import collected, toy_domain

    workspace = Workspace(str(tmp_path))
    collected(toy_domain(), workspace, episodes=2, render=True)
    frames = Frames(workspace.find("frames", "toy/corner"))
    assert pickle.loads(pickle.dumps(frames))[-1].digest == frames[1].digest
    with pytest.raises(IndexError, match="episode 2 of .* has those of 2"):
        frames[2]
