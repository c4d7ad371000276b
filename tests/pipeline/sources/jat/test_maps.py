"""REGENT's maps, rebuilt from lengths and missions, against plain loops and the importer that reads such files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.sources.jat.maps import mission_maps, row_maps, write_maps
from pipeline.sources.jat.source import JatSource
from tests.jat_files import make_jat, make_missions


def by_hand(lengths: list[int], missions: list[str], width: int) -> dict[str, Any]:
    """All six maps, row by row."""
    maps: dict[str, Any] = {
        name: {}
        for name in (
            *("ep_lens.json", "eps_2_rows_tokenized.json", "rows_tokenized_2_eps.json"),
            *("eps_2_text.json", "text_2_eps.json", "text_2_rows_tokenized.json"),
        )
    }
    row = 0
    for episode, (length, mission) in enumerate(zip(lengths, missions, strict=True)):
        maps["ep_lens.json"][str(episode)] = length
        maps["text_2_eps.json"].setdefault(mission, []).append(episode)
        left = length
        while left > 0:
            maps["eps_2_rows_tokenized.json"].setdefault(str(episode), []).append(row)
            maps["rows_tokenized_2_eps.json"][str(row)] = episode
            maps["text_2_rows_tokenized.json"].setdefault(mission, []).append(row)
            row, left = row + 1, left - width
    for mission, episodes in maps["text_2_eps.json"].items():
        for episode in episodes:
            maps["eps_2_text.json"][str(episode)] = mission
    return maps


def ordered(value: Any) -> Any:
    """Mappings as lists, because order counts."""
    return list(value.items()) if isinstance(value, dict) else value


EPISODES = st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["go to a box", "öffne 🚪", "", "0"])), max_size=12)


@settings(max_examples=100)
@given(EPISODES, st.integers(1, 9))
def test_maps_are_those_made_by_hand_in_the_same_order(episodes: list[tuple[int, str]], width: int):
    lengths, missions = [length for length, _ in episodes], [mission for _, mission in episodes]
    steps = np.array(lengths, np.int64)
    maps = {**row_maps(steps, width), **mission_maps(steps, missions, width)}
    wanted = by_hand(lengths, missions, width)
    assert maps.keys() == wanted.keys()
    assert {name: ordered(value) for name, value in maps.items()} == {
        name: ordered(value) for name, value in wanted.items()
    }


@settings(max_examples=15)
@given(EPISODES.filter(bool), st.integers(1, 9))
def test_written_maps_are_read_back_with_their_order(episodes: list[tuple[int, str]], width: int):
    lengths, missions = np.array([length for length, _ in episodes]), [mission for _, mission in episodes]
    maps = {**row_maps(lengths, width), **mission_maps(lengths, missions, width)}
    with tempfile.TemporaryDirectory() as folder:
        write_maps(Path(folder), maps)
        written = {path.name: path.read_text() for path in Path(folder).iterdir()}
    assert {name: ordered(json.loads(text)) for name, text in written.items()} == {
        name: ordered(value) for name, value in maps.items()
    }
    assert all(text.count("\n") == 1 for text in written.values())


def test_upstreams_example_comes_out(tmp_path: Path):
    maps = row_maps(np.array([1000, 1000]), 256)
    assert ordered(maps["eps_2_rows_tokenized.json"]) == [("0", [0, 1, 2, 3]), ("1", [4, 5, 6, 7])]
    assert ordered(maps["rows_tokenized_2_eps.json"])[:5] == [("0", 0), ("1", 0), ("2", 0), ("3", 0), ("4", 1)]


def test_the_importer_finds_the_episodes_that_the_maps_describe(tmp_path: Path):
    task = make_jat(tmp_path, [400, 256, 256, 9], metadata=False)
    task.rows[1]["rewards"][0] = 0.0  # without maps this would look like a new episode
    task.write()
    write_maps(task.task_folder, row_maps(np.array([400, 256, 256, 9]), 256))
    source = JatSource(str(tmp_path))
    assert [episode.length for episode in source.episodes("mujoco", "ant")] == [400, 256, 256, 9]
    assert source.count("mujoco", "ant") == 4


def test_the_importer_finds_the_missions_that_the_maps_tell(tmp_path: Path):
    task = make_missions(tmp_path, [5, 256, 300, 4, 4], metadata=False, texts=False)
    lengths = np.array([len(played.rewards) for played in task.episodes])
    missions = [played.mission for played in task.episodes]
    write_maps(task.task_folder, {**row_maps(lengths, 256), **mission_maps(lengths, missions, 256)})
    episodes = list(JatSource(str(tmp_path)).episodes("babyai", "go-to"))
    assert [(episode.length, episode.mission) for episode in episodes] == list(zip(lengths, missions, strict=True))


def test_an_episode_without_a_state_is_refused():
    with pytest.raises(InvalidInput, match="at least 1 state; episode 1 has none"):
        row_maps(np.array([3, 0]), 256)


def test_missions_must_be_of_the_same_episodes():
    with pytest.raises(InvalidInput, match="2 episodes have 1 missions"):
        mission_maps(np.array([3, 4]), ["a"], 256)
