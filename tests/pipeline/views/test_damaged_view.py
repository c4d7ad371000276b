"""A dataset that is damaged while a view of it is open: an error that names file and command, in the trainer, too."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact
from pipeline.storage.choice import storages
from pipeline.views.windows import Windows
from tests.damage import flip_bit
from tests.pipeline.views.stored import LISTED, episode_of, stored

MAKE = r"Remove it and make it again: rm -r \S+listed-v1\S* && python \S*run.py"


def frames_of(rng, length):
    """An episode of pictures that are read from their parts, because they are long rows."""
    episode = episode_of(rng, length, nested=False)
    pictures = rng.integers(0, 4, (length + 1, 40, 40), np.uint8)
    return dataclasses.replace(episode, steps={**episode.steps, "observation": pictures})


@pytest.fixture(params=[storage.name for storage in storages()])
def opened(request, tmp_path, rng):
    """A view of three parts of which nothing was read, and the part that is damaged then."""
    workspace = Workspace(tmp_path, request.param)
    dataset = stored(workspace, [frames_of(rng, 90) for _ in range(3)], per_part=1)
    view = Windows(workspace, LISTED, length=4, fields=("observation",), seed=None)
    files = (path for path in dataset.index.part_folder(1).rglob("*") if "steps/observation" in path.as_posix())
    return view, dataset, next(path for path in files if path.is_file() and path.suffix != ".json")


def test_damage_is_told_with_its_file_and_command_and_the_rest_is_read(opened):
    view, dataset, file = opened
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    for _ in range(2):
        with pytest.raises(DamagedArtifact, match=MAKE) as told:
            view.batch(np.array([0, 100]))
        assert str(file.relative_to(dataset.artifact.path).parent) in str(told.value)
    np.testing.assert_array_equal(view.batch(np.array([200]))["observation"][0], dataset[2].steps["observation"][26:30])


def test_damage_that_a_forked_worker_meets_reaches_the_trainer(opened):
    view, _, file = opened
    view.batch(np.arange(3))
    if file.suffix:
        file.unlink()
    else:
        flip_bit(file, 0.2)
    loader = torch.utils.data.DataLoader(view, batch_size=200, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(DamagedArtifact, match=MAKE):
        list(loader)


@pytest.mark.parametrize("storage", [storage.name for storage in storages()])
@pytest.mark.parametrize("fields", [("reward",), ("observation/wide",), ("observation/image",)])
def test_what_was_made_anew_under_the_name_of_an_open_dataset_is_not_read_as_if_it_were_that(
    tmp_path, rng, storage, fields
):
    def made():
        episode = episode_of(rng, 60)
        pictures = rng.integers(0, 255, (61, 40, 40), np.uint8)
        steps = {**episode.steps, "observation/image": pictures, "observation/wide": pictures[:, :30]}
        return dataclasses.replace(episode, steps=steps)

    workspace = Workspace(tmp_path, storage)
    first, second = [made()], [made()]
    dataset = stored(workspace, first)
    view = Windows.of(dataset, length=1, fields=fields, seed=None)
    dataset.index.require_part(0)  # as for another array of it
    if fields == ("observation/image",):
        view.batch(np.arange(3))
    shutil.move(dataset.artifact.path, tmp_path / "aside")
    stored(workspace, second)
    try:
        rows = view.batch(np.arange(60))[fields[0]]
    except DamagedArtifact:
        rows = None
    shutil.rmtree(dataset.artifact.path)
    shutil.move(tmp_path / "aside", dataset.artifact.path)
    again = Windows(workspace, LISTED, length=1, fields=fields, seed=None).batch(np.arange(60))[fields[0]]
    for each in (rows, again):
        if each is not None:
            np.testing.assert_array_equal(each[:, 0], first[0].steps[fields[0]][:60].astype(each.dtype))
