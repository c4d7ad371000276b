"""Spawned workers of a torch DataLoader read what the parent reads."""

import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader, StackDataset, Subset

from pipeline import Contexts, EpisodeDataset, ExactIndex, Frames, Workspace
from pipeline.errors import InvalidInput
from tests.conftest import collected, derived, made_episode, toy_domain
from tests.pipeline.dataset.made import written


def test_spawned_workers_read_episodes_and_contexts(tmp_path):
    workspace = Workspace(str(tmp_path))
    collected(toy_domain(), workspace)
    derived(toy_domain(), workspace)
    dataset = workspace["toy/corner/scripted-v1"]
    contexts = Contexts.of(workspace.find("bins", "toy/corner"))
    both = StackDataset(dataset, Subset(contexts, range(len(dataset))))
    loader = DataLoader(both, batch_size=6, num_workers=2, multiprocessing_context="spawn", collate_fn=list)
    for number, (episode, context) in enumerate(item for batch in loader for item in batch):
        assert episode.digest() == dataset[number].digest()
        for name, column in contexts[number].items():
            np.testing.assert_array_equal(context[name], column)
    assert number == 19


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
    workspace = Workspace(str(tmp_path))
    collected(toy_domain(), workspace, episodes=2, render=True)
    frames = Frames(workspace.find("frames", "toy/corner"))
    assert pickle.loads(pickle.dumps(frames))[-1].digest == frames[1].digest
    with pytest.raises(IndexError, match="episode 2 of .* has those of 2"):
        frames[2]
