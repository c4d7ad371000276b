"""An episode in the making: what is stored of steps, infos and ends."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InvalidEpisode, InvalidInput
from pipeline.interfaces import Transition
from pipeline.rollout.builder import EpisodeBuilder


def built(*transitions: Transition, unfinished: str = "budget", reset_info=None):
    builder = EpisodeBuilder(np.zeros(2), seed=7, mission="go", reset_info=reset_info or {})
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
        step(1.0, info={"boxes": [[1], [1, 2]], "deep": {"x": 1}}), step(2.0, info={"boxes": [], "deep": {"x": 2}})
    )
    np.testing.assert_array_equal(episode.steps["info/deep/x"], [1, 2, 0])
    assert builder.notes == ["the info boxes is not stored: it holds no numbers, or not of one shape and type"]


def test_keys_that_are_new_objects_at_each_step_are_told_once():
    builder, episode = built(step(1.0, info={object(): 1, "n": 1}), step(2.0, info={object(): 2, "n": 2}))
    np.testing.assert_array_equal(episode.steps["info/n"], [1, 2, 0])
    assert builder.notes == ["the info <object object> is not stored: its key has no name"]


def test_texts_in_infos_are_kept_beside_the_numbers_of_other_steps():
    builder, episode = built(
        step(1.0, info={"say": "ä", "mixed": 1}), step(2.0, info={"say": "ä"}), step(3.0, info={"mixed": "two"})
    )
    assert episode.info_texts == {"say": ["ä", "ä", None], "mixed": [None, None, "two"]}
    np.testing.assert_array_equal(episode.steps["info/mixed"], [1, 0, 0, 0])
    np.testing.assert_array_equal(episode.steps["info_present/mixed"], [True, False, False, False])
    assert builder.notes == []


def test_none_in_an_info_says_what_a_missing_key_says():
    builder, episode = built(step(1.0, info={"n": None, "never": None}), step(2.0, info={"n": 5, "never": None}))
    np.testing.assert_array_equal(episode.steps["info/n"], [0, 5, 0])
    np.testing.assert_array_equal(episode.steps["info_present/n"], [False, True, False])
    assert builder.notes == ["the info never is not stored: it is None at every step"]


def test_what_a_reset_tells_is_kept_as_numbers_and_texts():
    told = {"at": {"x": 0.5}, "mask": np.array([1, 0], np.int8), "level": "one", "engine": object(), "half": "\ud83d"}
    builder, episode = built(step(1.0), reset_info=told)
    assert episode.reset_info["at/x"] == 0.5
    assert episode.reset_info["mask"].dtype == np.int8
    assert episode.reset_texts == {"level": "one"}
    assert sorted(note.split(":")[0] for note in builder.notes) == [
        "of the reset, the info engine is not stored",
        "of the reset, the info half is not stored",
    ]


def test_an_end_that_nobody_saw_is_the_sources_and_its_lost_observation_is_zeros():
    builder = EpisodeBuilder(np.ones(2))
    builder.add(np.asarray(1), step(1.0))
    builder.lose_last_observation()
    episode = builder.build("source")
    assert (episode.terminated, episode.truncated, episode.end_reason) == (False, False, "source")
    np.testing.assert_array_equal(episode.steps["observation"], [[1, 1], [0, 0]])
    assert not episode.has_final_observation


def test_an_observation_with_other_keys_than_those_before_it_is_named():
    builder = EpisodeBuilder({"a": np.zeros(1)})
    builder.add(np.asarray(0), Transition({"b": np.zeros(1)}, 0.0))
    with pytest.raises(InvalidEpisode, match="observation/b.*observation/a"):
        builder.build()


def test_a_text_inside_an_observation_is_refused_with_its_name():
    builder = EpisodeBuilder({"word": "go"})
    builder.add(np.asarray(0), Transition({"word": "stay"}, 0.0))
    with pytest.raises(InvalidInput, match="observation/word must hold numbers"):
        builder.build()


@pytest.mark.parametrize("end", [{"terminated": True}, {"truncated": True}, {"terminated": True, "truncated": True}])
def test_a_plain_episode_is_the_same_episode(end):
    builder = EpisodeBuilder(np.zeros(2), seed=7)
    for transition in (step(1.0), step(2.0), step(3.0, **end)):
        builder.add(np.asarray(3), transition)
    assert builder.build_plain().digest() == builder.build().digest()


@pytest.mark.parametrize(
    ("begin", "first", "last"),
    [
        ({"mission": "go"}, {}, {"terminated": True}),
        ({"reset_info": {"level": 3}}, {}, {"terminated": True}),
        ({}, {"info": {"lives": 3}}, {"terminated": True}),
        ({}, {"success": 0}, {"terminated": True}),
        ({}, {"discount": 0.5}, {"terminated": True}),
        ({}, {}, {"truncated": True, "discount": 0.5}),
        ({}, {"observation": np.zeros(2, np.float32)}, {"terminated": True}),
        ({}, {"observation": {"a": np.zeros(2)}}, {"terminated": True}),
        ({}, {"observation": np.array([0, np.nan])}, {"terminated": True}),
        ({}, {"reward": np.inf}, {"terminated": True}),
        ({}, {}, {}),
    ],
)
def test_an_episode_with_more_to_it_is_not_plain(begin, first, last):
    builder = EpisodeBuilder(np.zeros(2), **begin)
    for facts in (first, last):
        builder.add(np.asarray(3), Transition(**{"observation": np.zeros(2), "reward": 1.0, **facts}))
    assert builder.build_plain() is None


def test_an_episode_without_its_last_observation_is_not_plain():
    builder = EpisodeBuilder(np.zeros(2))
    builder.add(np.asarray(3), step(1.0, terminated=True))
    builder.lose_last_observation()
    assert builder.build_plain() is None


def test_observations_that_are_too_wide_for_a_plain_episode_are_not_put_together_for_it(monkeypatch):
    builder = EpisodeBuilder(np.zeros((64, 64), np.uint8))
    builder.add(np.asarray(3), Transition(np.zeros((64, 64), np.uint8), 1.0, terminated=True))
    monkeypatch.setattr("pipeline.rollout.builder.alike_arrays", lambda arrays: pytest.fail("they were"))
    assert builder.build_plain() is None
