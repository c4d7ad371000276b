"""Copies of episodes, and trajectories that are there twice, are planted and found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.doctor.duplicates import DuplicatesCheck
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import Episode
from tests.conftest import made_episode
from tests.pipeline.doctor.given import SUBJECT, WHERE, found_by


@pytest.fixture
def episodes(rng: np.random.Generator) -> list[Episode]:
    return [made_episode(rng, 3 + number % 4, seed=number) for number in range(20)]


def test_different_episodes_are_no_finding(episodes: list[Episode]):
    assert found_by(DuplicatesCheck(SUBJECT, Thresholds()), episodes) == {}


def test_copies_are_an_error_that_names_them(episodes: list[Episode]):
    found = found_by(DuplicatesCheck(SUBJECT, Thresholds()), [*episodes, episodes[3], episodes[4], episodes[3]])
    (finding,) = found.values()
    assert (finding.name, finding.severity, finding.where, finding.count) == (
        "duplicate_episodes", "error", WHERE, 3,
    )  # fmt: skip
    assert finding.examples == ("episodes 3, 20, 22", "episodes 4, 21")
    assert finding.what == "3 episodes of 23 are copies of others, to the last bit, seeds too."
    assert dict(finding.numbers) == {"share": 3 / 23}


def test_copies_without_seeds_are_a_warning(episodes: list[Episode]):
    plain = [replace(each, seed=-1) for each in episodes]
    assert (
        found_by(DuplicatesCheck(SUBJECT, Thresholds()), [*plain, plain[0]])["duplicate_episodes"].severity == "warning"
    )


def test_the_same_trajectory_under_another_seed_and_in_other_number_types_is_found(episodes: list[Episode]):
    steps = {name: array.astype(np.float64) for name, array in episodes[5].steps.items()}
    steps["observation"] = steps["observation"].astype(np.float32)
    other = replace(episodes[5], steps=steps, seed=77)
    (finding,) = found_by(DuplicatesCheck(SUBJECT, Thresholds()), [*episodes, other], each=20).values()
    assert (finding.name, finding.severity, finding.count) == ("repeated_trajectories", "warning", 1)
    assert finding.examples == ("episodes 5, 20",)


def test_the_same_trajectory_with_the_same_seed_is_an_error(episodes: list[Episode]):
    other = replace(episodes[5], success=1)
    assert (
        found_by(DuplicatesCheck(SUBJECT, Thresholds()), [*episodes, other])["repeated_trajectories"].severity
        == "error"
    )


def test_a_rare_repetition_is_a_note(rng: np.random.Generator):
    many = [made_episode(rng, 2, seed=number) for number in range(150)]
    found = found_by(DuplicatesCheck(SUBJECT, Thresholds()), [*many, replace(many[0], seed=-1)])
    assert found["repeated_trajectories"].severity == "note"


def test_other_rewards_are_no_other_trajectory_but_one_other_action_is(episodes: list[Episode]):
    rewards, actions = ({name: array.copy() for name, array in episodes[0].steps.items()} for _ in range(2))
    rewards["reward"][0] += 1
    actions["action"][1] += 1
    relabelled = replace(episodes[0], steps=rewards, seed=50)
    assert "repeated_trajectories" in found_by(DuplicatesCheck(SUBJECT, Thresholds()), [*episodes, relabelled])
    assert found_by(DuplicatesCheck(SUBJECT, Thresholds()), [*episodes, replace(episodes[0], steps=actions)]) == {}
