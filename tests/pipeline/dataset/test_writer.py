"""Datasets: parts are cut by the ordered episodes alone, whatever the growth, storage or crash."""

import os

import pytest

from pipeline.artifacts.artifact import Manifest
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.writer import DatasetWriter
from pipeline.digest import combine
from pipeline.storage.choice import storage_named
from tests.pipeline.dataset.made import PART, made, written
from tests.pipeline.live.child import kill_before_change


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
