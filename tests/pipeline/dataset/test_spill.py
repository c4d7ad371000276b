"""Spilled episodes: whole files, taken in order, never used where they are torn."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.dataset.amount import Amount
from pipeline.dataset.plain import bundles_of
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.spill import intact, load_bundle, save_bundle, save_episode, spill_path, spilled_episodes
from pipeline.dataset.writer import DatasetWriter
from pipeline.digest import combine
from pipeline.errors import DamagedArtifact
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode
from tests.pipeline.dataset.made import PART, made, with_infos, written


def test_spilled_episodes_are_taken_in_index_order(tmp_path):
    episodes = made(3)
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), PART)
    save_episode(spill_path(writer.spill, 1), episodes[1])
    assert not writer.append_spilled()
    save_episode(spill_path(writer.spill, 0), episodes[0])
    assert writer.append_spilled()
    assert writer.append_spilled()
    assert not writer.append_spilled()
    assert EpisodeDataset(tmp_path, writer.finish()).digest() == combine(e.digest() for e in episodes[:2])


def test_a_torn_spill_is_removed_and_a_changed_one_is_never_used(tmp_path, rng):
    path = tmp_path / "00000000.safetensors"
    save_episode(path, made_episode(rng, 5))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert not intact(path)
    assert not path.exists()
    arrays = load_file(_saved(path, made_episode(rng, 5)))
    arrays["steps/reward"] = arrays["steps/reward"] + np.eye(1, 6)[0]
    save_file(arrays, path)
    with pytest.raises(DamagedArtifact, match="does not match its digest"):
        load_bundle(path)


def _saved(path, episode):
    save_episode(path, episode)
    return path


def spilled(folder, episodes, part_bytes=PART, until=None):
    """A writer of episodes that lie spilled in files of five, and took those up to an amount."""
    writer = DatasetWriter(folder, folder / "none", storage_named("bin"), part_bytes)
    for first in range(0, len(episodes), 5):
        for number, bundle in bundles_of([*enumerate(episodes)][first : first + 5]):
            save_bundle(spill_path(writer.spill, number), bundle)
    while writer.append_spilled(*([] if until is None else [until])) and not (until and until.met(writer.size)):
        pass
    return writer


def test_episodes_that_are_spilled_together_make_the_parts_of_those_spilled_alone(tmp_path):
    episodes = made(40)
    parts = spilled(tmp_path / "together", episodes).finish()
    assert parts == written(tmp_path / "alone", episodes, "bin")
    assert len(parts) > 2
    assert EpisodeDataset(tmp_path / "together", parts).digest() == combine(e.digest() for e in episodes)


def test_the_rest_of_a_file_outlives_a_part_that_was_cut_within_it_and_a_kill(tmp_path):
    episodes = made(20)
    before = spilled(tmp_path, episodes)
    assert before.packed % 5
    after = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), PART)
    assert after.count == before.packed
    while after.append_spilled():
        pass
    assert EpisodeDataset(tmp_path, after.finish()).digest() == combine(e.digest() for e in episodes)


@pytest.mark.parametrize("amount", [Amount(episodes=7), Amount(states=90)])
def test_no_more_of_a_file_is_taken_than_is_asked_for(tmp_path, amount):
    episodes = made(20)
    lengths = np.asarray([episode.length for episode in episodes])
    count = amount.leading(np.cumsum(lengths))
    assert count % 5
    writer = spilled(tmp_path, episodes, until=amount)
    assert writer.size == (count, lengths[:count].sum())


def test_episodes_with_other_infos_are_never_spilled_together_and_packed_as_ever(tmp_path):
    infos = [{"a": 1}, {"a": 0.5}, {}, {"a": 2, "b": "text"}, {"a": 3, "b": "more"}, {"c": {"d": 1}}]
    episodes = [with_infos([info, info]) for info in infos]
    assert [first for first, _ in bundles_of([*enumerate(episodes)])] == [0, 1, 2, 3, 5]
    parts = spilled(tmp_path / "together", episodes).finish()
    alone = written(tmp_path / "alone", episodes, "bin")
    digests = [EpisodeDataset(tmp_path / name, each).digest() for name, each in (("together", parts), ("alone", alone))]
    assert digests[0] == digests[1]


def test_the_numbers_of_spilled_episodes_are_known(tmp_path):
    episodes = [(number, episode) for number, episode in enumerate(made(9)) if number != 4]
    for first, bundle in bundles_of(episodes):
        save_bundle(spill_path(tmp_path, first), bundle)
    assert len(list(tmp_path.iterdir())) == 2
    assert spilled_episodes(tmp_path) == {0, 1, 2, 3, 5, 6, 7, 8}
