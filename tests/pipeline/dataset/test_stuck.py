"""Episodes in which nothing happens on the screen are counted, however their parts came about."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.artifacts.artifact import Part
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.parts import pack, save_part, write_facts
from pipeline.dataset.stuck import STILL, stuck
from pipeline.dataset.summary import summarise, summary_of
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode, with_last_row
from pipeline.storage.choice import storage_named
from tests.pipeline.dataset.made import written


def screens(before: int, still: int, after: int, shape: tuple[int, ...] = (16, 16)) -> np.ndarray:
    """Screens of which each differs from the last, but for `still` decisions that change nothing."""
    numbers = np.concatenate([np.arange(before), np.full(still, before), before + np.arange(after + 1)])
    return np.stack([np.full(shape, number % 251, np.uint8) for number in numbers])


def seen(**observations: np.ndarray) -> Episode:
    """An episode in which this is seen."""
    rows = len(next(iter(observations.values())))
    zeros = {name: with_last_row(name, np.zeros(rows - 1)) for name in ("action", "reward", "discount")}
    return Episode({name.replace("__", "/"): array for name, array in observations.items()} | zeros)


@pytest.mark.parametrize("before", [0, 1, 130, 249, 250, 251, 700])
@pytest.mark.parametrize("after", [0, 1, 600])
def test_so_many_decisions_without_a_change_are_found_wherever_they_begin(before, after):
    for still, expected in ((STILL - 1, False), (STILL, True), (STILL + 1, True)):
        steps = {"observation": screens(before, still, after)}
        assert stuck(steps, np.asarray([len(steps["observation"])])).tolist() == [expected]


def test_each_episode_counts_by_itself():
    several = [screens(3, 300, 0), screens(0, 300, 2), screens(0, 501, 0), screens(1, 0, 0)]
    found = stuck({"observation": np.concatenate(several)}, np.cumsum([len(each) for each in several]))
    assert found.tolist() == [False, False, True, False]


def test_all_that_is_seen_must_stand_still_and_a_picture_must_be_there():
    still, moving = screens(0, STILL, 0), screens(STILL, 0, 0)
    ends = np.asarray([STILL + 1])
    numbers = np.arange(STILL + 1.0)
    assert stuck({"observation/a": still, "observation/b": still, "reward": numbers}, ends).all()
    assert not stuck({"observation/a": still, "observation/b": moving}, ends).any()
    assert not stuck({"observation/a": still, "observation/place": numbers[:, None]}, ends).any()
    assert not stuck({"observation": np.zeros((STILL + 1, 7, 7, 3), np.uint8)}, ends).any()
    assert not stuck({"observation": np.zeros((STILL + 1, 4))}, ends).any()


EPISODES = [seen(observation=screens(2, still, 1)) for still in (STILL, 7, STILL, 3, 9)]
SMALL = 100_000
"""Bytes of a part, so that a long episode fills one."""


def test_a_manifest_counts_them_and_says_nothing_where_there_are_none(tmp_path):
    parts = written(tmp_path / "a", EPISODES, part_bytes=SMALL)
    assert [part.stuck for part in parts] == [1, 1, None]
    assert summarise(tmp_path / "a", parts)["counts"]["stuck"] == 2
    assert Part(**parts[0].as_json()) == parts[0]
    moving = written(tmp_path / "b", EPISODES[3:])
    assert "stuck" not in summarise(tmp_path / "b", moving)["counts"]
    assert list(moving[0].as_json()) == ["name", "episodes", "states", "bytes"]


@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_the_count_outlives_kills(tmp_path, storage):
    at_once = written(tmp_path / "a", EPISODES, storage, SMALL)
    for stop in (1, 3, 4):  # each writer dies without a word; the next one goes on
        writer = DatasetWriter(tmp_path / "b", tmp_path / "none", storage_named(storage), SMALL)
        for episode in EPISODES[writer.count : stop]:
            writer.append(episode)
    assert written(tmp_path / "b", EPISODES, storage, SMALL) == at_once


def test_a_part_that_a_source_wrote_counts_its_own(tmp_path):
    storage, arrays = storage_named("bin"), pack(EPISODES[:2])
    files = save_part(storage, tmp_path / "part", arrays)
    lengths = np.asarray([each.length for each in EPISODES[:2]])
    writer = DatasetWriter(tmp_path / "draft", tmp_path / "none", storage)
    writer.adopt(StoredPart(tmp_path / "part", files, lengths, facts={"checkpoint": "7"}, summary=summary_of(arrays)))
    again = DatasetWriter(tmp_path / "draft", tmp_path / "none", storage)  # the first one was killed
    parts = again.finish()
    assert parts[0].facts == {"checkpoint": "7", "stuck": 1}
    assert summarise(tmp_path / "draft", parts)["counts"]["stuck"] == 1


def test_a_part_that_a_killed_run_wrote_and_nobody_adopted_counts_its_own(tmp_path):
    arrays = pack(EPISODES[:2])
    lengths = np.asarray([each.length for each in EPISODES[:2]])
    before = StoredPart(
        tmp_path / "part",
        save_part(storage_named("bin"), tmp_path / "part", arrays),
        lengths,
        summary=summary_of(arrays),
    )
    write_facts(before.folder, before.all_facts())
    writer = DatasetWriter(tmp_path / "draft", tmp_path / "none", storage_named("bin"))
    writer.adopt(StoredPart(before.folder, before.files, lengths))
    assert writer.finish()[0].facts == {"stuck": 1}
