"""Numbers that change over a dataset are planted and found; in independent episodes nothing is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.doctor import drift
from pipeline.doctor.block import Subject
from pipeline.doctor.drift import ALARMS, DriftCheck, differences_in, distances_between
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import Episode, with_last_row
from tests.conftest import made_episode
from tests.pipeline.doctor.given import SUBJECT, WHERE, found_by


def drifting(rng: np.random.Generator, count: int, shift: float, name: str = "observation") -> list[Episode]:
    """Episodes whose last third has one column that is shifted."""
    episodes = [made_episode(rng, 5, seed=number) for number in range(count)]
    for episode in episodes[-count // 3 :]:
        episode.steps[name][:-1, 1] += shift
    return episodes


def test_independent_episodes_are_no_finding(rng: np.random.Generator):
    assert found_by(DriftCheck(SUBJECT, Thresholds()), [made_episode(rng, 5) for _ in range(90)]) == {}


@pytest.mark.parametrize("name", ["observation", "action"])
def test_a_shifted_column_is_named_with_the_size_of_the_shift(rng: np.random.Generator, name: str):
    (finding,) = found_by(DriftCheck(SUBJECT, Thresholds()), drifting(rng, 90, 5.0, name)).values()
    assert (finding.name, finding.severity, finding.where, finding.count) == ("drift", "warning", WHERE, 1)
    assert finding.examples[0].startswith(f"mean of {name}[1]: ")
    numbers = dict(finding.numbers)
    assert numbers["distance"] == 1
    assert numbers["shift"] > 1.5
    assert numbers["episodes"] == 30


def test_drift_of_a_stitched_dataset_is_a_note(rng: np.random.Generator):
    subject = Subject(WHERE, stitched=True)
    assert found_by(DriftCheck(subject, Thresholds()), drifting(rng, 90, 5.0))["drift"].severity == "note"


def test_lengths_rewards_and_returns_that_drift_are_found(rng: np.random.Generator):
    episodes = [made_episode(rng, 4 + number // 8) for number in range(90)]
    for number, episode in enumerate(episodes):
        episode.steps["reward"][:-1] += number / 10
    named = " ".join(found_by(DriftCheck(SUBJECT, Thresholds()), episodes)["drift"].examples)
    assert "length: " in named
    assert "return: " in named
    assert "mean of reward: " in named


def test_other_choices_are_found(rng: np.random.Generator):
    def choosing(most: int) -> Episode:
        made = made_episode(rng, 20)
        return Episode({**made.steps, "action": with_last_row("action", rng.integers(0, most, 20))})

    assert found_by(DriftCheck(SUBJECT, Thresholds()), [choosing(4) for _ in range(60)]) == {}
    finding = found_by(DriftCheck(SUBJECT, Thresholds()), [choosing(2 if number < 40 else 4) for number in range(60)])[
        "drift"
    ]
    assert all(example.startswith("share of action = ") for example in finding.examples)


def test_pictures_that_get_darker_are_found(rng: np.random.Generator):
    def seeing(brightest: int) -> Episode:
        made = made_episode(rng, 3)
        return Episode({**made.steps, "observation": rng.integers(0, brightest, (4, 40, 40), np.uint8)})

    finding = found_by(DriftCheck(SUBJECT, Thresholds()), [seeing(255 - 2 * number) for number in range(60)])["drift"]
    assert finding.examples[0].startswith("mean of observation: ")


def test_many_episodes_are_thinned_evenly(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drift, "MOST_EPISODES", 64)
    check = DriftCheck(SUBJECT, Thresholds())
    (finding,) = found_by(check, drifting(rng, 300, 8.0)).values()
    assert 32 // 3 <= dict(finding.numbers)["episodes"] <= 64 // 3


def test_too_few_episodes_are_said_to_be_unchecked(rng: np.random.Generator):
    check = DriftCheck(SUBJECT, Thresholds())
    assert found_by(check, drifting(rng, 12, 50.0)) == {}
    assert check.unchecked() == "drift needs 33 episodes or more"


def test_the_distance_is_that_of_the_textbook(rng: np.random.Generator):
    one, other = rng.normal(size=40).round(1), rng.normal(0.3, size=40).round(1)
    grid = np.arange(-50, 50) / 10 + 0.05
    shares = [(each[None, :] <= grid[:, None]).mean(axis=1) for each in (one, other)]
    (distance,) = distances_between(one[:, None], other[:, None])
    assert distance == pytest.approx(np.abs(shares[0] - shares[1]).max())


def test_the_bound_on_false_alarms_holds_where_it_can_be_counted():
    """Of two samples of n without ties the distance 1 has the chance 2 / (2n choose n)."""
    for samples in range(1, 200):
        assert 2 / math.comb(2 * samples, samples) <= math.e * math.exp(-samples) * (1 + 1e-12)


def test_false_alarms_are_rarer_than_stated(rng: np.random.Generator):
    alarms = sum(bool(differences_in({"x": rng.exponential(size=(60, 20)).round(1)})[0]) for _ in range(300))
    assert alarms <= 300 * ALARMS + 2
