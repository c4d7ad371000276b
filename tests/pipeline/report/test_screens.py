"""Observations that are pictures: which arrays are, and what of a row is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.gym.domain import gym_domain
from pipeline.policies.random import Random
from pipeline.report.screens import Screens, screens_of
from tests.conftest import collected


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((84, 84), "array observation, grey, 84 × 84"),
        ((20, 30, 1), "array observation, grey, 30 × 20"),
        ((20, 30, 3), "array observation, in colour, 30 × 20"),
        ((3, 20, 30), "array observation, in colour, 30 × 20"),
        ((4, 20, 30), "array observation, grey, 30 × 20, the newest of 4 frames"),
    ],
)
def test_pictures_come_in_several_shapes(shape: tuple[int, ...], words: str, rng: np.random.Generator):
    rows = rng.integers(0, 256, (2, *shape), np.uint8)
    screens = Screens(Rows(rows), "observation", shape)  # type: ignore[arg-type]
    assert screens.words == words
    height, width = (20, 30) if 20 in shape else (84, 84)
    picture = screens.picture(0, 1)
    assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
    newest = rows[1]
    if shape == (4, 20, 30):
        newest = newest[-1]
    if shape == (3, 20, 30):
        newest = newest.transpose(1, 2, 0)
    np.testing.assert_array_equal(picture, np.broadcast_to(newest.reshape(height, width, -1), picture.shape))


class Rows:
    """A dataset of one episode."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def episode_rows(self, name: str, index: int, start: int, stop: int) -> np.ndarray:
        return self._rows[start:stop]


def test_the_picture_inside_a_dict_is_found_and_small_grids_are_none(tmp_path: Path):
    regent = Regent(256, 5, 20, 100_000)
    found = {}
    for size in (6, 24):
        domain: Domain = gym_domain(
            name="gym",
            env_id="Nested-v0",
            entry_point="tests.pipeline.envs.gym_envs:Nested",
            env_kwargs={"size": size},
            packages=(),
            display_name=None,
            fresh=False,
            mission="mission",
            rounding=False,
            max_steps=5,
            episodes=1,
            regent=regent,
        )
        workspace = Workspace(str(tmp_path / str(size)))
        made = collected(domain, workspace, "nested-v0", policy=Random, dataset="random-v1", episodes=2)
        found[size] = screens_of(EpisodeDataset.of(made)), EpisodeDataset.of(made)
    assert found[6][0] is None
    screens, dataset = found[24]
    assert screens is not None
    assert screens.array == "observation/seen/0"
    for number, episode in enumerate(dataset):
        np.testing.assert_array_equal(list(screens.pictures(number)), episode.steps["observation/seen/0"])
