"""Made episodes, and datasets of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.artifacts.artifact import Part
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode
from pipeline.interfaces import Transition
from pipeline.rollout.builder import EpisodeBuilder
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode

PART = 4_000
"""Bytes of a part in these tests: a handful of episodes."""


def made(count: int, seed: int = 0) -> list[Episode]:
    """Episodes of 1 to 29 states."""
    rng = np.random.default_rng(seed)
    return [made_episode(rng, int(rng.integers(1, 30)), mission=f"m{i}", seed=i) for i in range(count)]


def written(folder: Path, episodes: list[Episode], storage: str = "zarr", part_bytes: int = PART) -> list[Part]:
    """The parts of a dataset in `folder`; goes on where an earlier call was killed."""
    writer = DatasetWriter(folder, folder / "none", storage_named(storage), part_bytes)
    for episode in episodes[writer.count :]:
        writer.append(episode)
    return writer.finish()


def with_infos(infos: list[dict[str, object]]) -> Episode:
    """An episode whose steps have these infos."""
    building = EpisodeBuilder(np.zeros(2))
    for number, info in enumerate(infos, 1):
        building.add(np.zeros(1), Transition(np.full(2, number), 0.0, truncated=number == len(infos), info=info))
    return building.build()
