"""An episode in the making: what is stored of steps, infos and ends."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.interfaces import Transition
from pipeline.rollout.builder import EpisodeBuilder


def built(*transitions: Transition, unfinished: str = "budget"):
    builder = EpisodeBuilder(np.zeros(2), seed=7, mission="go")
    for number, transition in enumerate(transitions):
        builder.add(np.asarray(number), transition)
    return builder, builder.build(unfinished)


def step(value: float, **facts) -> Transition:
    return Transition(np.full(2, value), reward=value, **facts)


def test_an_episode_of_two_steps_has_three_rows_and_a_last_row_of_zeros():
    _, episode = built(step(1.0), step(2.0, terminated=True))
    np.testing.assert_array_equal(episode.steps["observation"], [[0, 0], [1, 1], [2, 2]])
    np.testing.assert_array_equal(episode.steps["action"], [0, 1, 0])
    np.testing.assert_array_equal(episode.steps["reward"], [1, 2, 0])
    np.testing.assert_array_equal(episode.steps["discount"], [1, 0, 0])
    assert (episode.seed, episode.mission, episode.end_reason) == (7, "go", "terminated")


@pytest.mark.parametrize(
    ("last", "reason", "truncated"),
    [
        (step(1.0, terminated=True), "terminated", False),
        (step(1.0, truncated=True), "time_limit", True),
        (step(1.0), "gave_up", True),
    ],
)
def test_the_end_is_the_simulators_or_else_the_callers(last, reason, truncated):
    _, episode = built(last, unfinished="gave_up")
    assert (episode.end_reason, episode.truncated) == (reason, truncated)


def test_an_info_that_only_some_steps_have_is_zero_elsewhere_and_has_a_mask():
    _, episode = built(step(1.0, info={"lives": 3}), step(2.0), step(3.0, info={"lives": 2}))
    np.testing.assert_array_equal(episode.steps["info/lives"], [3, 0, 2, 0])
    np.testing.assert_array_equal(episode.steps["info_present/lives"], [True, False, True, False])


def test_infos_that_no_array_can_hold_are_left_out_and_named():
    builder, episode = built(
        step(1.0, info={"text": "a", "deep": {"x": 1}}), step(2.0, info={"text": "b", "deep": {"x": 2}})
    )
    np.testing.assert_array_equal(episode.steps["info/deep/x"], [1, 2, 0])
    assert builder.notes == ["the info text is not stored: it holds no numbers, or not of one shape and type"]


def test_a_text_inside_an_observation_is_refused_with_its_name():
    builder = EpisodeBuilder({"word": "go"})
    builder.add(np.asarray(0), Transition({"word": "stay"}, 0.0))
    with pytest.raises(InvalidInput, match="observation/word must hold numbers"):
        builder.build()
