"""The dataset that other projects read in these tests: what they give out is compared with what we hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode, with_last_row
from pipeline.formats.contract import Format
from tests.contracts.format import Listed, exported, ingested, place_of

LENGTHS = [3, 1, 8, 5, 2, 13, 4, 7, 6, 9, 2, 5]


def held_episodes(picture: bool = False, discrete: bool = False) -> list[Episode]:
    """Twelve episodes of all lengths, some terminated and some cut; vectors, or screens of 84 x 84."""
    rng = np.random.default_rng(3)
    return [_episode(rng, length, number, picture, discrete) for number, length in enumerate(LENGTHS)]


def _episode(rng: np.random.Generator, length: int, number: int, picture: bool, discrete: bool) -> Episode:
    terminated = number % 3 == 0
    discounts = np.ones(length)
    discounts[-1] = 0.0 if terminated else 1.0
    screens = rng.integers(0, 256, (length + 1, 84, 84), dtype=np.uint8)
    actions = rng.integers(0, 18, length) if discrete else rng.normal(size=(length, 2)).astype(np.float32)
    return Episode(
        steps={
            "observation": screens if picture else rng.normal(size=(length + 1, 5)).astype(np.float32),
            "action": with_last_row("action", actions),
            "reward": with_last_row("reward", rng.normal(size=length).astype(np.float32).astype(np.float64)),
            "discount": with_last_row("discount", discounts),
        },
        seed=100 + number,
        terminated=terminated,
        truncated=not terminated,
        end_reason="terminated" if terminated else "time_limit",
    )


def laid(format: Format, folder: Path, episodes: list[Episode]) -> Path:
    """What a form writes for these episodes, by the real stages; they come back from the store as they are given."""
    workspace = Workspace(str(folder / "outputs"))
    listed = ingested(Listed(episodes), workspace)
    assert [each.digest() for each in EpisodeDataset.of(listed)] == [each.digest() for each in episodes]
    return place_of(exported(format, workspace))


def transitions(episodes: list[Episode], name: str) -> np.ndarray:
    """(transitions, ...): an array of all episodes without their last rows."""
    return np.concatenate([episode.steps[name][:-1] for episode in episodes])


def after(episodes: list[Episode], name: str) -> np.ndarray:
    """(transitions, ...): an array of all episodes one row later."""
    return np.concatenate([episode.steps[name][1:] for episode in episodes])


def at_ends(episodes: list[Episode], flag: str | None = None) -> np.ndarray:
    """(transitions,) whether each is the last one of its episode, and of one with this flag."""
    ends = []
    for episode in episodes:
        each = np.zeros(episode.length, bool)
        each[-1] = flag is None or getattr(episode, flag)
        ends.append(each)
    return np.concatenate(ends)
