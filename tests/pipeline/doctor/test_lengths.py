"""Lengths, last observations, success and lives: faults planted and found."""

import numpy as np

from tests.pipeline.doctor.planted import examined_made, found_in, healthy, walked

CUT = {"terminated": False, "truncated": True}


def limited(steps):
    return {"environment": {"simulator": "toy", "max_steps": steps}}


def test_episodes_longer_than_the_limit_are_an_error_and_cut_before_it_a_warning():
    assert found_in(healthy(**CUT), parameters=limited(8)) == {}
    longer = found_in(healthy(**CUT), parameters=limited(7))["longer_than_limit"]
    assert (longer.severity, longer.count) == ("error", 6)
    assert "length <= 7" in longer.command
    shorter = found_in([*healthy(length=9, **CUT), *healthy(1, length=5, **CUT)], parameters=limited(9))
    assert {name: (each.severity, each.examples) for name, each in shorter.items()} == {
        "cut_before_limit": ("warning", ("episode 6",))
    }


def test_the_limit_of_a_log_is_that_of_its_environment():
    facts = {"facts": {"agent": "mine", "environment": {"id": "CartPole-v1", "max_episode_steps": 7}}}
    assert found_in(healthy(**CUT), parameters=facts)["longer_than_limit"].count == 6
    for nothing in ({"facts": {"environment": "mine"}}, {"facts": {}}):
        assert "no time limit is stated" in examined_made(healthy(), parameters=nothing).unchecked


def test_a_limit_that_nobody_states_is_told():
    assert "no time limit is stated" in examined_made(healthy()).unchecked


def test_a_budget_is_kept_and_one_that_is_not_stated_is_a_note():
    cut = healthy(end_reason="budget", **CUT)
    assert found_in(cut, parameters={"budget": 8}) == {}
    assert found_in(cut, parameters={"budget": 7})["longer_than_budget"].severity == "error"
    assert found_in(cut)["cut_without_budget"].severity == "note"


def test_last_observations_that_are_missing_are_a_note_and_of_cut_episodes_a_warning():
    found = found_in(healthy(has_final_observation=False))
    assert {name: each.severity for name, each in found.items()} == {"final_observations_missing": "note"}
    found = found_in(healthy(has_final_observation=False, **CUT))
    assert {name: each.severity for name, each in found.items()} == {"final_observations_missing": "warning"}


def test_last_observations_that_are_zeros_or_those_before_are_a_warning():
    def zeros(arrays):
        arrays["steps/observation"][arrays["episode_ends"] - 1] = 0

    def again(arrays):
        arrays["steps/observation"][arrays["episode_ends"] - 1] = arrays["steps/observation"][
            arrays["episode_ends"] - 2
        ]

    def still(arrays):
        arrays["steps/observation"][::2] = arrays["steps/observation"][0]
        arrays["steps/observation"][1::2] = arrays["steps/observation"][0]
        arrays["steps/observation"][arrays["episode_ends"] - 8] = 1

    assert list(found_in(healthy(), zeros)) == ["final_observations_zero"]
    assert list(found_in(healthy(), again)) == ["final_observations_repeated"]
    assert found_in(healthy(), still) == {}  # they are as still before the end


def test_success_that_never_comes_is_a_warning_and_one_that_no_step_shows_an_error():
    assert found_in(healthy(success=0))["success_never"].severity == "warning"
    assert found_in(healthy(success=1)) == {}
    rng = np.random.default_rng(0)
    shown = [walked(rng, steps={"info/success": np.eye(9)[4]}, success=1) for _ in range(3)]
    assert found_in(shown) == {}
    unlike = found_in([*shown, walked(rng, steps={"info/success": np.zeros(9)}, success=1)])["success_not_shown"]
    assert (unlike.severity, unlike.examples) == ("error", ("episode 3",))


def test_episodes_that_end_with_lives_left_are_a_warning():
    rng = np.random.default_rng(0)

    def with_lives(last):
        lives = np.full(9, 3)
        lives[-2:] = last
        return [walked(rng, steps={"info/lives": lives}) for _ in range(6)]

    assert found_in(with_lives(0)) == {}
    assert found_in(with_lives(2))["ends_at_lost_lives"].severity == "warning"
