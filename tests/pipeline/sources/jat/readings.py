"""What the tests of this folder share: reading a task, and comparing its episodes with the play."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.jat.source import JatSource
from tests.jat_files import JatTask


def read(task: JatTask, start: int = 0, **settings: Any) -> list[Episode]:
    source = JatSource(str(task.folder), row_width=task.width, **settings)
    return list(source.episodes(*task.name.split("-", 1), start))


def refusal(task: JatTask) -> str:
    """The message with which the importer refuses a folder."""
    with pytest.raises(InvalidInput) as caught:
        read(task)
    return str(caught.value)


def check_episodes(episodes: list[Episode], task: JatTask) -> None:
    assert [episode.length for episode in episodes] == [len(played.rewards) for played in task.episodes]
    for episode, played in zip(episodes, task.episodes, strict=True):
        assert episode.steps["observation"][:-1].tolist() == played.observations
        assert episode.steps["action"][:-1].tolist() == played.actions
        assert episode.steps["reward"].tolist() == [*played.rewards[:-1], 0.0, 0.0]
