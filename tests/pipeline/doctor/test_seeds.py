"""Seeds that are missing or repeated are planted and found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.doctor.block import Subject
from pipeline.doctor.seeds import SeedsCheck
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import Episode
from tests.conftest import made_episode
from tests.pipeline.doctor.given import SUBJECT, WHERE, found_by


@pytest.fixture
def episodes(rng: np.random.Generator) -> list[Episode]:
    return [made_episode(rng, 3, seed=number) for number in range(10)]


def test_a_seed_for_each_episode_is_no_finding(episodes: list[Episode]):
    assert found_by(SeedsCheck(SUBJECT, Thresholds()), episodes) == {}


def test_some_unknown_seeds_are_a_warning_and_none_at_all_a_note(episodes: list[Episode]):
    some = [replace(each, seed=-1) if number in (2, 9) else each for number, each in enumerate(episodes)]
    finding = found_by(SeedsCheck(SUBJECT, Thresholds()), some)["unknown_seeds"]
    assert (finding.severity, finding.count, finding.examples) == ("warning", 2, ("episode 2", "episode 9"))
    assert finding.what == "2 episodes of 10 have no seed."
    finding = found_by(SeedsCheck(SUBJECT, Thresholds()), [replace(each, seed=-1) for each in episodes])[
        "unknown_seeds"
    ]
    assert (finding.severity, finding.count) == ("note", 10)


def test_a_seed_of_several_different_episodes_is_a_warning(episodes: list[Episode]):
    again = [*episodes, replace(episodes[0], seed=4), replace(episodes[1], seed=4)]
    finding = found_by(SeedsCheck(SUBJECT, Thresholds()), again)["repeated_seeds"]
    assert (finding.severity, finding.count, finding.where) == ("warning", 3, WHERE)
    assert finding.examples == ("seed 4: episodes 4, 10, 11",)


def test_copies_of_an_episode_are_left_to_the_check_of_duplicates(episodes: list[Episode]):
    assert found_by(SeedsCheck(SUBJECT, Thresholds()), [*episodes, episodes[0]]) == {}


def test_stitched_datasets_may_share_seeds(episodes: list[Episode]):
    subject = Subject(WHERE, stitched=True)
    again = [*episodes, replace(episodes[0], seed=4)]
    assert found_by(SeedsCheck(subject, Thresholds()), again)["repeated_seeds"].severity == "note"
