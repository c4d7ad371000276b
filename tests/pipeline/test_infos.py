"""Infos that come and go: through parts, datasets and their growth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.parts import pack, unpack
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.writer import DatasetWriter
from pipeline.digest import combine
from pipeline.episode import Episode
from pipeline.errors import InvalidEpisode
from pipeline.interfaces import Transition
from pipeline.rollout.builder import EpisodeBuilder
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode


def with_infos(infos: list[dict[str, object]]) -> Episode:
    building = EpisodeBuilder(np.zeros(2))
    for number, info in enumerate(infos, 1):
        building.add(np.zeros(1), Transition(np.full(2, number), 0.0, truncated=number == len(infos), info=info))
    return building.build()


INFO = st.dictionaries(st.sampled_from(["a", "b", "c/d"]), st.integers(-5, 5), max_size=3)


@given(st.lists(st.lists(INFO, min_size=1, max_size=5), min_size=1, max_size=5))
def test_episodes_come_back_from_a_part_as_they_were(infos: list[list[dict[str, object]]]):
    episodes = [with_infos(each) for each in infos]
    assert [e.digest() for e in unpack(pack(episodes))] == [e.digest() for e in episodes]


@pytest.mark.parametrize("name", ["zarr", "bin"])
def test_a_dataset_reads_them_flat_over_parts_that_lack_them(tmp_path, name: str):
    infos = [[{}, {}], [{"x": 3}, {"x": 4}], [{"x": 5}, {}]]
    episodes = [with_infos(each) for each in infos]
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named(name), part_bytes=1)  # a part for each episode
    for episode in episodes:
        writer.append(episode)
    dataset = EpisodeDataset(tmp_path, writer.finish())
    assert dataset.state_rows("info/x", 0, 6).tolist() == [0, 0, 3, 4, 5, 0]
    assert dataset.state_rows("info_present/x", 0, 6).tolist() == [False, False, True, True, True, False]
    assert {"info/x", "info_present/x"} <= set(dataset.array_names())
    assert dataset.digest() == combine(e.digest() for e in episodes)
    assert [e.digest() for e in dataset] == [dataset[n].digest() for n in range(3)] == [e.digest() for e in episodes]
    with pytest.raises(KeyError, match="no array named info/y"):
        dataset.spec("info/y")


def written(tmp_path, episodes: list[Episode], part_bytes: int) -> tuple[EpisodeDataset, list[str]]:
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named("zarr"), part_bytes)
    for episode in episodes:
        writer.append(episode)
    return EpisodeDataset(tmp_path, writer.finish()), writer.notes


def test_a_whole_number_joins_a_column_of_fractions(tmp_path):
    dataset, notes = written(tmp_path, [with_infos([{"x": 0.5}]), with_infos([{"x": 1}])], 2**20)
    assert dataset.state_rows("info/x", 0, 2).tolist() == [0.5, 1.0]
    assert notes == []


@pytest.mark.parametrize("part_bytes", [1, 2**20])
def test_what_does_not_fit_is_left_out_with_a_note(tmp_path, part_bytes: int):
    episodes = [with_infos([{"x": 1}]), with_infos([{"x": 0.5}]), with_infos([{"x": [1, 2]}]), with_infos([{"x": 7}])]
    dataset, notes = written(tmp_path, episodes, part_bytes)
    assert dataset.state_rows("info/x", 0, 4).tolist() == [1, 0, 0, 7]
    assert [note.split(",")[0] for note in notes] == [
        "info/x of episode 1 is float64[]",
        "info/x of episode 2 is int64[2]",
    ]


def test_a_mask_that_says_nothing_is_no_mask(rng: np.random.Generator):
    episode = made_episode(rng, 3)
    steps = {**episode.steps, "info/x": np.zeros(4)}
    for mask in ([True, True, True, False], [False] * 4, [True, False, False, True], [1, 0, 0, 0]):
        with pytest.raises(InvalidEpisode, match="info_present/x"):
            dataclasses.replace(episode, steps={**steps, "info_present/x": np.asarray(mask)})
    with pytest.raises(InvalidEpisode, match="info_present/y"):
        dataclasses.replace(episode, steps={**steps, "info_present/y": np.asarray([True, False, False, False])})
