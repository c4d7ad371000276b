"""The field `frame`: pictures of the frames artifact, decoded into the batch."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset.workspace import Workspace
from pipeline.errors import ArtifactNotFound, DamagedArtifact, InvalidInput
from pipeline.frames.png import decode_png, encode_png
from pipeline.frames.store import Frames
from pipeline.storage.choice import storages
from pipeline.storage.contract import write_arrays
from pipeline.views.episodes import Episodes
from pipeline.views.pictures import StoredPictures
from pipeline.views.windows import Windows
from tests.conftest import collected, toy_domain
from tests.pipeline.views.stored import derived, episode_of, stored


@pytest.fixture(scope="module", params=[storage.name for storage in storages()])
def workspace(tmp_path_factory, request):
    workspace = Workspace(str(tmp_path_factory.mktemp("pictures")), request.param)
    collected(toy_domain(), workspace, episodes=3, render=True)
    return workspace


def pictures(workspace):
    """Of each episode, all its pictures."""
    stored_frames = Frames(workspace.find("frames", "toy/corner"))
    return [[decode_png(episode[row]) for row in range(len(episode))] for episode in stored_frames]


def test_windows_show_the_pictures_of_their_states(workspace):
    wanted = pictures(workspace)
    view = Windows(workspace, "toy/corner/scripted-v1", length=3, skip=2, padding="left", fields=("frame", "mask"))
    assert view.fields.spec("frame").shape == wanted[0][0].shape
    for each in (view, pickle.loads(pickle.dumps(view))):
        batch = each.batch(np.arange(len(view)))
        samples = each.order.places(np.arange(len(view)))
        episodes = np.searchsorted(each.order.ends, samples, "right")
        last = samples - np.concatenate([[0], each.order.ends])[episodes]
        for place, (episode, row) in enumerate(zip(episodes.tolist(), last.tolist(), strict=True)):
            for column, back in enumerate((4, 2, 0)):
                there = row >= back
                assert batch["mask"][place, column] == there
                picture = wanted[episode][row - back] if there else 0
                np.testing.assert_array_equal(batch["frame"][place, column], picture)


def test_whole_episodes_show_the_picture_after_the_last_action_too(workspace):
    view = Episodes(workspace, "toy/corner/scripted-v1", fields=("frame",), final_observation=True, seed=None)
    batch = view.batch(np.arange(3))
    for episode, wanted in enumerate(pictures(workspace)):
        np.testing.assert_array_equal(batch["frame"][episode, : len(wanted)], np.stack(wanted))
        assert not batch["frame"][episode, len(wanted) :].any()


def test_a_derived_dataset_shows_the_pictures_of_those_that_it_refers_to(workspace):
    parent = workspace["toy/corner/scripted-v1"]
    view = Windows.of(derived(workspace, [parent], [0, 0], [2, 0], "turned-v1"), length=1, fields=("frame",), seed=None)
    wanted = pictures(workspace)
    both = np.stack([*wanted[2][:-1], *wanted[0][:-1]])
    np.testing.assert_array_equal(view.batch(np.arange(len(view)))["frame"][:, 0], both)


def test_pictures_that_nobody_has_drawn_are_asked_for_with_the_command(workspace):
    episodes = [episode_of(np.random.default_rng(0), 3)]
    played = stored(workspace, episodes, "blind-v1", environment={"name": "toy"})
    with pytest.raises(ArtifactNotFound, match=r"(?s)of toy/corner/blind-v1 there are none.*stage=frames .*blind-v1"):
        Windows.of(played, length=1, fields=("frame",))
    ingested = stored(workspace, episodes)
    with pytest.raises(InvalidInput, match="listed-v1 was not made by one of this project"):
        Windows.of(ingested, length=1, fields=("frame",))


def foreign(picture):
    """A file as others write it: filtered, with a palette where there is one."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return file.getvalue()


@pytest.mark.parametrize("storage", storages(), ids=lambda storage: storage.name)
def test_files_of_others_are_read_and_what_is_none_is_damage(storage, tmp_path, rng):
    several = rng.integers(0, 255, (4, 12, 9, 3), dtype=np.uint8)
    palette = np.asarray(Image.fromarray(several[2]).quantize(4).convert("RGB"))
    file = io.BytesIO()
    Image.fromarray(palette).quantize(4).save(file, "PNG")
    small = encode_png(several[0, :5, :5].copy())
    damaged = encode_png(several[3])[:-20] + b"x" * 20
    files = [encode_png(several[0]), foreign(several[1]), file.getvalue(), b"", small, damaged]
    png = np.frombuffer(b"".join(files), np.uint8)
    write_arrays(storage, tmp_path / "drawn", {"png": png, "ends": np.cumsum([len(each) for each in files])})
    shelf = StoredPictures(tmp_path / "drawn", len(files))
    assert shelf.size() == (12, 9, 3)
    out = np.full((5, 12, 9, 3), 7, np.uint8)
    shelf.read(np.array([2, 0]), np.array([2, 2]), out, np.array([0, 3]))
    np.testing.assert_array_equal(out[3:], several[:2])
    np.testing.assert_array_equal(out[0], palette)
    assert not out[1].any()
    assert (out[2] == 7).all()
    one = np.array([1]), out[:1], np.array([0])
    with pytest.raises(InvalidInput, match="picture of row 4 in .* is 5 x 5, the first one 9 x 12"):
        shelf.read(np.array([4]), *one)
    with pytest.raises(DamagedArtifact, match="picture of row 5 in .* cannot be read"):
        shelf.read(np.array([5]), *one)
