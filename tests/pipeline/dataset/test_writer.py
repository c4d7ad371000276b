"""Datasets: parts are cut by the ordered episodes alone, whatever the growth, storage or crash."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from pipeline.artifacts.artifact import Manifest
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.spill import intact, load_episode, save_episode, spill_path
from pipeline.dataset.summary import summarise
from pipeline.dataset.writer import DatasetWriter
from pipeline.digest import combine
from pipeline.errors import DamagedArtifact, InvalidEpisode, InvalidInput
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode
from tests.pipeline.live.child import kill_before_change

PART = 4_000
"""Bytes of a part in these tests: a handful of episodes."""


def made(count, seed=0):
    rng = np.random.default_rng(seed)
    return [made_episode(rng, int(rng.integers(1, 30)), mission=f"m{i}", seed=i) for i in range(count)]


def written(folder, episodes, storage="zarr"):
    writer = DatasetWriter(folder, folder / "none", storage_named(storage), PART)
    for episode in episodes[writer.count :]:
        writer.append(episode)
    return writer.finish()


@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_episodes_come_back_in_order_one_by_one_and_all_together(tmp_path, storage):
    episodes = made(40)
    dataset = EpisodeDataset(tmp_path, written(tmp_path, episodes, storage))
    wanted = [episode.digest() for episode in episodes]
    assert [episode.digest() for episode in dataset] == wanted
    assert [dataset[i].digest() for i in range(40)] == wanted
    assert dataset.digest() == combine(wanted)
    assert dataset.digest(7) == combine(wanted[:7])


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


def test_parts_depend_on_the_ordered_episodes_alone(tmp_path):
    episodes = made(40)
    at_once = written(tmp_path / "a", episodes)
    interrupted = tmp_path / "b"
    for stop in (3, 3, 17, 25, 40):  # each writer dies without a word; the next one goes on
        writer = DatasetWriter(interrupted, tmp_path / "none", storage_named("zarr"), PART)
        for episode in episodes[writer.count : stop]:
            writer.append(episode)
    assert writer.finish() == at_once


def test_a_draft_that_died_after_its_last_part_can_still_grow(tmp_path):
    episodes = made(40)
    written(tmp_path / "b", episodes[:22])  # finished, never committed: its last part is not full
    assert written(tmp_path / "b", episodes) == written(tmp_path / "a", episodes)


@pytest.mark.parametrize("moment", [1, 9, 13, 17, 21, 27])
def test_a_kill_while_an_unfinished_last_part_is_opened_again_is_survived(tmp_path, moment):
    episodes = made(12)
    written(tmp_path, episodes[:3], "bin")
    child = os.fork()
    if child == 0:  # dies before one of the changes of the file system with which the part is removed
        kill_before_change(moment)
        written(tmp_path, episodes, "bin")
        os._exit(0)
    os.waitpid(child, 0)
    assert written(tmp_path, episodes, "bin") == written(tmp_path / "undisturbed", episodes, "bin")


def test_a_committed_last_part_is_opened_again(tmp_path):
    episodes = made(40)
    final = tmp_path / "final"
    parts = written(final, episodes[:22])
    Manifest("episodes", "toy/x", "v", "f", "d", 1, parts=parts).write(final)
    writer = DatasetWriter(tmp_path / "draft", final, storage_named("zarr"), PART)
    assert writer.count == 22
    for episode in episodes[22:]:
        writer.append(episode)
    grown = writer.finish()
    writer.commit_parts()
    assert grown == written(tmp_path / "other", episodes)
    assert EpisodeDataset(final, grown).digest() == combine(e.digest() for e in episodes)
    assert EpisodeDataset(final, parts).digest() == combine(e.digest() for e in episodes[:22])  # old readers go on


def test_a_part_of_short_episodes_is_closed_by_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.dataset.parts.PART_EPISODES", 3)
    episodes = made(8)
    writer = DatasetWriter(tmp_path / "draft", tmp_path / "none", storage_named("bin"))
    for episode in episodes:
        writer.append(episode)
    assert [part.episodes for part in writer.finish()] == [3, 3, 2]
    again = DatasetWriter(tmp_path / "draft", tmp_path / "none", storage_named("bin"))
    assert (again.packed, again.count) == (6, 8)


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
        load_episode(path)


def _saved(path, episode):
    save_episode(path, episode)
    return path


def test_texts_come_back_in_order_over_all_parts(tmp_path, rng):
    missions = [f"go to door {n} \N{DOOR}" if n % 3 else "" for n in range(30)]
    parts = written(tmp_path, [made_episode(rng, 9, mission=mission) for mission in missions], "bin")
    assert len(parts) > 1
    assert EpisodeDataset(tmp_path, parts).texts("mission") == missions
    assert EpisodeDataset(tmp_path, parts, 17).texts("mission") == missions[:17]


def test_the_summary_counts_and_averages(tmp_path):
    rng = np.random.default_rng(1)
    episodes = [made_episode(rng, 3, success=1), made_episode(rng, 5, success=0), made_episode(rng, 2)]
    facts = summarise(tmp_path, written(tmp_path, episodes))
    assert facts["counts"] == {"episodes": 3, "states": 10, "successes": 1, "success_known": 2}
    gave_up = [*episodes, made_episode(rng, 4, truncated=True, end_reason="gave_up")]
    more = tmp_path / "more"
    assert summarise(more, written(more, gave_up))["counts"]["gave_up"] == 1
    assert facts["return_"]["max"] == max(e.total_reward for e in episodes)
    assert {a["name"]: a["shape"] for a in facts["arrays"]}["observation"] == [13, 3]


def test_an_episode_of_another_width_is_refused_even_in_another_part(tmp_path, rng):
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), 1)  # every episode is a part
    writer.append(made_episode(rng, 4, width=5))
    with pytest.raises(InvalidEpisode, match=r"observation float64\[1\].*before it have.*observation float64\[5\]"):
        writer.append(made_episode(rng, 4, width=1))
    again = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), 1)
    with pytest.raises(InvalidEpisode, match="need the same arrays"):
        again.append(made_episode(rng, 4, width=1))
