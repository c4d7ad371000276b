from dataclasses import replace

import numpy as np
import pytest

from pipeline.dataset.columns import beside
from pipeline.dataset.per_episode import once_of
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.formats.absent import FinalObservation
from pipeline.formats.contract import Outgoing
from pipeline.formats.flat import FlatEpisodes
from pipeline.storage.bin import BinStorage
from tests.conftest import made_episode


def episode(rng: np.random.Generator, number: int) -> Episode:
    """Every second one has an info, every third one no last observation; one in four terminates."""
    made = made_episode(rng, 2 + number % 5, seed=number, mission=f"m{number}", truncated=True, end_reason="time_limit")
    steps = {name: array.copy() for name, array in made.steps.items()}
    if number % 2:
        steps["info/a"] = np.append(rng.integers(0, 9, made.length), 0)
    facts = {}
    if number % 4 == 0:
        facts |= {"terminated": True, "info_texts": {"door": ["shut"] * made.length}, "reset_texts": {"level": "one"}}
    if number % 5 == 0:
        facts["reset_info"] = {"start": np.arange(3)}
    if number % 3 == 0:
        steps["observation"][-1] = 0
        facts["has_final_observation"] = False
    return replace(made, steps=steps, **facts)


@pytest.fixture
def dataset(tmp_path, rng):
    """Twenty episodes in several parts."""
    writer = DatasetWriter(tmp_path / "draft", tmp_path / "final", BinStorage(), part_bytes=700)
    for number in range(20):
        writer.append(episode(rng, number))
    parts = writer.finish()
    assert len(parts) > 5
    return EpisodeDataset(tmp_path / "draft", parts, episodes=19)


@pytest.fixture(params=[None, *FinalObservation])
def outgoing(dataset, request):
    return Outgoing("toy", "corner", dataset, {"dataset": "made-v1"}, request.param)


def test_flat_rows_are_those_of_the_episodes(outgoing, rng):
    flat = FlatEpisodes(outgoing)
    rows = [beside(each, outgoing.rows) for each in outgoing.episodes()]
    for name, spec in flat.specs.items():
        whole = np.concatenate([each[name] for each in rows])
        assert (whole.dtype, whole.shape[1:]) == spec
        np.testing.assert_array_equal(flat.read(name, 0, flat.rows), whole)
        for _ in range(10):
            start, stop = np.sort(rng.integers(0, flat.rows + 1, 2))
            np.testing.assert_array_equal(flat.read(name, int(start), int(stop)), whole[start:stop])


def test_states_and_the_rows_after_them_are_those_of_the_episodes(outgoing, rng):
    flat = FlatEpisodes(outgoing)
    episodes = list(outgoing.episodes())
    for after in (0, 1):
        whole = np.concatenate([e.steps["observation"][after : e.length + after] for e in episodes])
        np.testing.assert_array_equal(flat.read_states("observation", 0, len(whole), after), whole)
        for _ in range(10):
            start, stop = np.sort(rng.integers(0, len(whole) + 1, 2))
            read = flat.read_states("observation", int(start), int(stop), after)
            np.testing.assert_array_equal(read, whole[start:stop])


def test_what_episodes_say_once_is_what_they_say(outgoing):
    flat, episodes = FlatEpisodes(outgoing), list(outgoing.episodes())
    once = flat.once(3, 17)
    for name in once_of(episodes[0]):
        assert list(once[name]) == [once_of(each)[name] for each in episodes[3:17]]
    assert list(once["return"]) == [each.total_reward for each in episodes[3:17]]
    assert [e.length for e in episodes] == flat.lengths.tolist()
    assert [e.terminated for e in episodes] == flat.terminated.tolist()
    ((name, values, present),) = flat.resets(3, 17)
    assert name == "start"
    assert [number for number in range(14) if present[number]] == [2, 7, 12]
    np.testing.assert_array_equal(values[[2, 3]], [[0, 1, 2], [0, 0, 0]])


def test_an_episode_of_which_nothing_is_left_is_an_error(tmp_path, rng):
    steps = {name: array.copy() for name, array in made_episode(rng, 1).steps.items()}
    steps["observation"][-1] = 0
    writer = DatasetWriter(tmp_path / "draft", tmp_path / "final", BinStorage())
    writer.append(Episode(steps, has_final_observation=False))
    dataset = EpisodeDataset(tmp_path / "draft", writer.finish())
    with pytest.raises(InvalidInput, match="nothing is left of it"):
        FlatEpisodes(Outgoing("toy", "corner", dataset, {"dataset": "d-v1"}, FinalObservation.DROP))


def test_progress_is_told_in_episodes(dataset):
    handed_out = []
    flat = FlatEpisodes(Outgoing("toy", "corner", dataset, {}, advance=handed_out.append))
    tell = flat.progress()
    for share in (0.0, flat.ends[2] / flat.rows, 0.99, 1.0):
        tell(share)
    assert handed_out == [0, 3, 15, 1]
