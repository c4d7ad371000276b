"""Agents, each trained once in a test session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.interfaces import ArraySpec
from tests.pipeline.policies.agents import FORCE, MOVES, Small, trained

Train = Callable[..., Path]


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """`agent(algorithm, shows, takes, **settings)`: the zip of an agent of a Small environment."""
    made: dict[str, Path] = {}

    def train(algorithm: str, shows: str = "vector", takes: ArraySpec | None = None, **settings: Any) -> Path:
        key = repr((algorithm, shows, takes, settings))
        if key not in made:
            takes = takes or (FORCE if algorithm in ("sac", "td3", "ddpg", "tqc", "crossq", "ars") else MOVES)
            folder = tmp_path_factory.mktemp(f"{algorithm}-{shows}")
            made[key] = trained(folder, algorithm, Small(shows, takes), **settings)
        return made[key]

    return train
