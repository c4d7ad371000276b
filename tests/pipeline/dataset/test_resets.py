"""What resets told, and the texts of infos, through parts, spilled files and storages."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dataset.parts import pack, unpack
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.spill import load_bundle, save_episode, spill_path
from pipeline.dataset.summary import step_bytes
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode
from pipeline.errors import InvalidEpisode
from pipeline.storage.choice import storage_named
from tests.conftest import STORAGES, made_episode

TOLD = {"at/x": np.asarray(0.5), "mask": np.asarray([1, 0, 1], np.int8), "ends": np.asarray(7)}


def telling(rng: np.random.Generator) -> list[Episode]:
    """One with everything, one with nothing, one with something else."""
    return [
        made_episode(rng, 3, reset_info=TOLD, info_texts={"door": ["shut", "shut", None]}),
        made_episode(rng, 2),
        made_episode(rng, 1, reset_info={"at/x": np.asarray(1.5)}, reset_texts={"level": "zwölf"}),
    ]


def assert_equal(episode: Episode, wanted: Episode) -> None:
    assert episode.digest() == wanted.digest()
    assert (episode.info_texts, episode.reset_texts) == (wanted.info_texts, wanted.reset_texts)
    assert episode.reset_info.keys() == wanted.reset_info.keys()
    for name, array in wanted.reset_info.items():
        np.testing.assert_array_equal(episode.reset_info[name], array)
        assert episode.reset_info[name].dtype == array.dtype


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("part_bytes", [1, 2**20])
def test_episodes_come_back_from_both_storages_in_any_order(tmp_path, rng, storage, part_bytes):
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named(storage), part_bytes)
    episodes = telling(rng)
    for episode in episodes:
        writer.append(episode)
    dataset = EpisodeDataset(tmp_path, writer.finish())
    for number in (2, 0, 1):
        assert_equal(dataset[number], episodes[number])
    for episode, wanted in zip(dataset, episodes, strict=True):
        assert_equal(episode, wanted)


def test_a_spilled_episode_comes_back_as_it_was(tmp_path, rng):
    for number, episode in enumerate(telling(rng)):
        save_episode(spill_path(tmp_path, number), episode)
        (found,) = load_bundle(spill_path(tmp_path, number)).episodes()
        assert_equal(found, episode)


def test_an_episode_without_any_adds_no_array_to_a_part(rng):
    assert not [name for name in pack([made_episode(rng, 2)]) if "reset" in name or "info" in name]


def test_the_bytes_of_a_part_are_those_of_its_episodes(rng):
    episodes = telling(rng)
    assert step_bytes(pack(episodes)) == sum(episode.nbytes for episode in episodes)
    assert episodes[0].nbytes > made_episode(rng, 3).nbytes


def test_the_first_to_tell_settles_the_type_also_for_later_sessions(tmp_path, rng):
    told = [{"x": np.asarray(0.5)}, {"x": np.asarray(3)}, {"x": np.zeros(2)}]
    episodes = [made_episode(rng, 2, reset_info=each) for each in told]
    first = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), 1)  # every episode is a part
    first.append(episodes[0])
    second = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), 1)
    for episode in episodes[1:]:
        second.append(episode)
    dataset = EpisodeDataset(tmp_path, second.finish())
    assert [{name: array.tolist() for name, array in each.reset_info.items()} for each in dataset] == [
        {"x": 0.5},
        {"x": 3.0},
        {},
    ]
    assert dataset[1].reset_info["x"].dtype == np.float64
    assert [note.split(",")[0] for note in second.notes] == ["reset_info/x of episode 2 is float64[2]"]


def test_a_name_inside_another_gets_a_place_of_its_own(tmp_path, rng):
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named("zarr"), 2**20)
    writer.append(made_episode(rng, 2, reset_info={"a": np.asarray(1)}))
    writer.append(made_episode(rng, 2, reset_info={"a/b": np.asarray(2)}))
    dataset = EpisodeDataset(tmp_path, writer.finish())
    assert [list(each.reset_info) for each in dataset] == [["a"], ["a%/b"]]


@pytest.mark.parametrize("name", ["ends", "legends"])
def test_an_info_whose_name_ends_in_ends_is_read_as_it_is(tmp_path, rng, name):
    episodes = [made_episode(rng, 3) for _ in range(2)]
    infos = [np.asarray([1, 2, 3, 0]), np.asarray([7, 8, 9, 0])]
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"))
    for episode, info in zip(episodes, infos, strict=True):
        writer.append(Episode({**episode.steps, f"info/{name}": info}))
    dataset = EpisodeDataset(tmp_path, writer.finish())
    np.testing.assert_array_equal(dataset[1].steps[f"info/{name}"], infos[1])


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"mission": "take the \ud83d"}, "mission cannot be written as UTF-8"),
        ({"reset_texts": {"a": "\ud83d"}}, "info_texts cannot be written"),
        ({"info_texts": {"a": ["one"]}}, "should be 2, one a step; 1 are"),
        ({"reset_info": {"../x": np.asarray(1)}}, "no path inside a folder"),
    ],
)
def test_texts_and_names_that_cannot_be_stored_are_named(rng, facts, words):
    with pytest.raises(InvalidEpisode, match=words):
        made_episode(rng, 2, **facts)


def test_unpacking_knows_the_length_of_each_episode(rng):
    texts = [[None, "a"], ["b", None, "b"]]
    episodes = [made_episode(rng, len(each), info_texts={"x": each}) for each in texts]
    assert [episode.info_texts["x"] for episode in unpack(pack(episodes))] == texts
