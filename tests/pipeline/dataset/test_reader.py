"""Reading a dataset: a sequence of episodes, or flat states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.writer import DatasetWriter
from pipeline.digest import combine
from pipeline.errors import DamagedArtifact, InvalidInput, UnknownName
from pipeline.formats.aspects import Aspect, aspects_of
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode
from tests.pipeline.dataset.made import made, with_infos, written


@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_episodes_come_back_in_order_one_by_one_and_all_together(tmp_path, storage):
    episodes = made(40)
    dataset = EpisodeDataset(tmp_path, written(tmp_path, episodes, storage))
    wanted = [episode.digest() for episode in episodes]
    assert [episode.digest() for episode in dataset] == wanted
    assert [dataset[i].digest() for i in range(40)] == wanted
    assert dataset.digest() == combine(wanted)
    assert dataset.digest(7) == combine(wanted[:7])


@pytest.mark.parametrize("storage", ["zarr", "bin"])
@pytest.mark.parametrize("start", [0, 13, 40])
def test_episodes_that_are_read_ahead_are_those_from_the_start_on(tmp_path, storage, start):
    episodes = made(40)
    dataset = EpisodeDataset(tmp_path, parts := written(tmp_path, episodes, storage))
    assert len(parts) > 3
    assert [e.digest() for e in dataset.read_ahead(start)] == [e.digest() for e in episodes[start:]]


def test_damage_is_told_where_the_damaged_episodes_are_asked_for(tmp_path):
    parts = written(tmp_path, made(40))
    dataset = EpisodeDataset(tmp_path, parts)
    (tmp_path / "parts" / parts[1].name / "steps" / "reward" / "c.0").write_bytes(b"no chunk")
    read = dataset.read_ahead()
    assert len([next(read) for _ in range(parts[0].episodes)]) == parts[0].episodes
    with pytest.raises(DamagedArtifact, match="steps/reward"):
        next(read)


def test_a_prefix_is_the_dataset_of_its_first_episodes(tmp_path):
    episodes = made(40)
    parts = written(tmp_path, episodes)
    prefix = EpisodeDataset(tmp_path, parts, 11)
    assert len(list(prefix)) == len(prefix) == 11
    assert prefix.digest() == combine(e.digest() for e in episodes[:11])
    with pytest.raises(InvalidInput, match="holds 40 episodes, 41 were asked for"):
        EpisodeDataset(tmp_path, parts, 41)


@settings(max_examples=60)
@given(bounds=st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), episodes=st.integers(1, 40))
def test_flat_states_are_the_rows_that_are_not_last(bounds, episodes, many):
    folder, parts, all_episodes = many
    dataset = EpisodeDataset(folder, parts, episodes)
    flat = np.concatenate([e.steps["observation"][:-1] for e in all_episodes[:episodes]])
    start, stop = sorted(bound % (len(flat) + 1) for bound in bounds)
    np.testing.assert_array_equal(dataset.state_rows("observation", start, stop), flat[start:stop])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    episodes = made(40)
    parts = written(folder, episodes)
    assert len(parts) > 3
    return folder, parts, episodes


def test_texts_come_back_in_order_over_all_parts(tmp_path, rng):
    missions = [f"go to door {n} \N{DOOR}" if n % 3 else "" for n in range(30)]
    parts = written(tmp_path, [made_episode(rng, 9, mission=mission) for mission in missions], "bin")
    assert len(parts) > 1
    assert EpisodeDataset(tmp_path, parts).texts("mission") == missions
    assert EpisodeDataset(tmp_path, parts, 17).texts("mission") == missions[:17]


@pytest.mark.parametrize("name", ["zarr", "bin"])
def test_a_dataset_reads_infos_flat_over_parts_that_lack_them(tmp_path, name: str):
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
    with pytest.raises(KeyError, match="no array of .* named info/y"):
        dataset.spec("info/y")


def test_an_index_counts_from_either_end_and_names_the_bounds(many):
    folder, parts, episodes = many
    dataset = EpisodeDataset(folder, parts, 11)
    for index in (0, 10, -1, -11, np.int64(3)):
        assert dataset[index].digest() == episodes[:11][index].digest()
    for index in (11, -12):
        with pytest.raises(IndexError, match=rf"episode {index} of .*, which has 11: -11 to 10"):
            dataset[index]
    with pytest.raises(TypeError):
        dataset["0"]


@given(
    bounds=st.slices(25),
    inner=st.slices(25),
)
@settings(max_examples=30, deadline=None)
def test_slices_are_those_of_a_list(many, bounds, inner):
    folder, parts, episodes = many
    dataset = EpisodeDataset(folder, parts, 25)
    digests = [episode.digest() for episode in episodes[:25]]
    assert len(dataset[bounds]) == len(digests[bounds])
    assert [episode.digest() for episode in dataset[bounds]] == digests[bounds]
    assert [episode.digest() for episode in dataset[bounds][inner]] == digests[bounds][inner]


def test_a_slice_reads_nothing_until_it_is_asked(many):
    folder, parts, _ = many
    some = EpisodeDataset(folder, parts)[5:30:2]
    assert repr(some) == f"{folder}[5:30:2]"
    with pytest.raises(IndexError, match="which has 13: -13 to 12"):
        some[13]
    assert some[-1].seed == 29


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 2), (0, 10_000), (10_000, 10_001)])
def test_states_outside_are_refused(many, start, stop):
    folder, parts, _ = many
    dataset = EpisodeDataset(folder, parts)
    with pytest.raises(IndexError, match=f"states {start} to {stop} of .* has the states 0 to {dataset.states}"):
        dataset.state_rows("observation", start, stop)
    assert dataset.state_rows("observation", 3, 3).shape == (0, 3)


def test_an_unknown_name_lists_the_known_ones(many):
    folder, parts, _ = many
    dataset = EpisodeDataset(folder, parts)
    with pytest.raises(UnknownName, match="no once-per-episode array named score.*digest.*return.*seed"):
        dataset.per_episode("score")
    with pytest.raises(UnknownName, match="no once-per-episode text named missions.*end_reason, mission"):
        dataset.texts("missions")
    with pytest.raises(UnknownName, match="no array of .* named observations.*action, discount, observation, reward"):
        dataset.state_rows("observations", 0, 1)
    with pytest.raises(UnknownName, match=r"named return.*per_episode\('return'\)"):
        dataset.state_rows("return", 0, 1)
    with pytest.raises(UnknownName, match=r"named mission.*texts\('mission'\)"):
        dataset.state_rows("mission", 0, 1)
    with pytest.raises(TypeError):
        dataset[0] in dataset  # noqa: B015


def test_it_says_where_it_is_from_and_what_it_holds(made):
    _, workspace = made
    dataset = workspace["toy/corner/scripted-v1"]
    assert dataset.name == "toy/corner/scripted-v1"
    assert dataset.artifact.manifest.parameters["policy"] == {"name": "scripted"}
    assert repr(dataset).startswith("EpisodeDataset(toy/corner/scripted-v1: 20 episodes, 195 states; action int64[], ")


def test_an_empty_dataset_is_an_empty_sequence(tmp_path):
    dataset = EpisodeDataset(tmp_path, [])
    assert (len(dataset), dataset.states, list(dataset), list(dataset[:])) == (0, 0, [], [])
    with pytest.raises(IndexError, match="which has none"):
        dataset[0]


class Counted(EpisodeDataset):
    """Counts how often discounts are read."""

    readings = 0

    def state_rows(self, name, start, stop):
        self.readings += name == "discount"
        return super().state_rows(name, start, stop)


@pytest.mark.parametrize("own", [True, False])
def test_whether_discounts_are_their_own_is_read_once(tmp_path, rng, own):
    episodes = [made_episode(rng, 3) for _ in range(4)]
    episodes[2].steps["discount"][1] = 0.5 if own else 1
    dataset = Counted(tmp_path, written(tmp_path, episodes, "bin"))
    assert [dataset.has_own_discounts for _ in range(3)] == [own] * 3
    assert (Aspect.DISCOUNTS in aspects_of(dataset)) == own
    assert dataset.readings == 1
