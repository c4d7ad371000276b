"""Episodes that are equal in all but their seeds."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.repeats import repeated_episodes, repeats_sentence
from tests.conftest import made_episode
from tests.pipeline.dataset.made import written


def test_episodes_that_differ_in_seeds_and_infos_alone_are_one(tmp_path, rng):
    one, other = made_episode(rng, 5), made_episode(rng, 5)
    seen = dataclasses.replace(one, steps={**one.steps, "observation": one.steps["observation"] + 1})
    acted = dataclasses.replace(one, steps={**one.steps, "action": one.steps["action"] * 2})
    timed = dataclasses.replace(one, seed=7, steps={**one.steps, "info/seconds": np.arange(6.0) * np.arange(6)[::-1]})
    episodes = [one, other, dataclasses.replace(one, seed=3), seen, acted, timed, dataclasses.replace(other, seed=5)]
    dataset = EpisodeDataset(tmp_path, written(tmp_path, episodes, part_bytes=600))
    assert repeated_episodes(dataset) == [[0, 2, 5], [1, 6]]
    assert repeats_sentence(repeated_episodes(dataset)).startswith(
        "5 episodes are 2: equal in all but their seeds are 0, 2, 5; 1, 6."
    )


def test_a_dataset_of_different_episodes_has_no_repeats(tmp_path, rng):
    dataset = EpisodeDataset(tmp_path, written(tmp_path, [made_episode(rng, 3) for _ in range(4)]))
    assert repeated_episodes(dataset) == []
