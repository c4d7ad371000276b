"""Faults at the ends of episodes, planted and found."""

import numpy as np
import pytest

from tests.pipeline.doctor.planted import blocks, examined_made, found_in, healthy, walked


def test_healthy_episodes_give_no_finding():
    examination = examined_made([*healthy(), *healthy(terminated=False, truncated=True)])
    assert examination.findings == []
    assert (examination.episodes, examination.states) == (12, 96)
    assert examination.facts["ends"]["ended"] == {"terminated": 6, "truncated": 6, "neither": 0}


def at_last_state(value, episodes=slice(None)):
    """A change of the last discount of some episodes."""

    def change(arrays):
        rows = arrays["episode_ends"][episodes] - 2
        arrays["steps/discount"][rows] = value

    return change


def test_a_terminated_episode_whose_last_discount_is_one_is_an_error():
    found = found_in(healthy(), at_last_state(1.0, slice(2, 4)))
    assert list(found) == ["terminal_discount"]
    finding = found["terminal_discount"]
    assert (finding.severity, finding.count, finding.examples) == ("error", 2, ("episode 2", "episode 3"))
    assert "episode != 2 and episode != 3" in finding.command


def test_a_truncated_episode_whose_last_discount_is_zero_is_an_error():
    found = found_in(healthy(terminated=False, truncated=True), at_last_state(0.0))
    assert {name: each.count for name, each in found.items()} == {"truncated_discount": 6}


def test_a_discount_of_zero_in_the_middle_is_an_error():
    def change(arrays):
        arrays["steps/discount"][3] = 0.0

    assert found_in(healthy(), change)["inner_discount"].examples == ("episode 0",)


@pytest.mark.parametrize("name", ["action", "reward", "discount"])
def test_something_in_the_row_after_the_last_state_is_an_error(name):
    def change(arrays):
        arrays[f"steps/{name}"][arrays["episode_ends"][1] - 1] = 0.5

    assert found_in(healthy(), change)["last_row"].examples == ("episode 1",)


def test_an_episode_without_a_transition_and_arrays_of_other_lengths_are_errors():
    def short(arrays):
        arrays["episode_ends"] = np.concatenate([[1], arrays["episode_ends"]])[:6]

    assert found_in(healthy(), short)["rows"].count >= 1


@pytest.mark.parametrize("reason", ["terminated", "time_limit", "budget", "gave_up"])
def test_an_end_reason_that_the_flags_contradict_is_an_error(reason):
    rng = np.random.default_rng(0)
    flags = {"terminated": reason != "terminated", "truncated": reason == "terminated"}
    found = found_in([*healthy(), walked(rng, end_reason=reason, **flags)])
    assert found["end_reason"].examples == ("episode 6",)


def test_an_end_that_nobody_knows_is_a_note_and_with_a_discount_of_zero_a_warning():
    found = found_in(healthy(terminated=False))
    assert {name: each.severity for name, each in found.items()} == {"unknown_ends": "note"}
    found = found_in(healthy(terminated=False), at_last_state(0.0))
    assert found["discount_of_unknown_end"].severity == "warning"


def test_both_ends_before_the_time_limit_are_a_warning_and_at_it_nothing():
    episodes = healthy(truncated=True)
    assert list(found_in(episodes, parameters={"environment": {"max_steps": 8}})) == []
    found = found_in(episodes, parameters={"environment": {"max_steps": 9}})
    assert {name: each.severity for name, each in found.items()} == {"both_ends": "warning"}


def test_texts_that_repeat_one_letter_are_told_apart():
    missions = ["a", "aa", ""]
    (block,) = blocks([walked(np.random.default_rng(0), mission=mission) for mission in missions], each=3)
    texts, places = block.texts("mission")
    assert [texts[place] for place in places] == missions
