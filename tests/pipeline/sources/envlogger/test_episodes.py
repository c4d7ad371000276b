"""Time steps as EnvLogger logs them, as episodes of ours."""

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.sources.envlogger.episodes import episode_of
from pipeline.sources.quirks import Quirks
from tests.pipeline.sources.envlogger.sent import episode, numbers, sent, steps, texts, unfit

SPECS = {"action_spec": {"dtype": "int32", "shape": None}}


def read(block, specs=SPECS):
    quirks = Quirks()
    (frame,) = sent(block)
    return episode_of(frame, specs, quirks), {quirk.name: quirk.sentence for quirk in quirks}


def with_column(*columns, without=()):
    return episode(4, [*(each for each in steps() if each[0]["keys"][0] not in without), *columns])


def test_a_row_takes_the_action_and_the_reward_that_led_to_the_next_time_step():
    made, quirks = read(episode(4, steps()))
    np.testing.assert_array_equal(made.steps["observation"], np.float32([[0, 0], [1, 1], [2, 2], [3, 3]]))
    np.testing.assert_array_equal(made.steps["action"], [10, 20, 30, 0])
    np.testing.assert_array_equal(made.steps["reward"], [0.25, 0.5, 0.75, 0])
    np.testing.assert_array_equal(made.steps["discount"], [1, 1, 0, 0])
    assert made.steps["observation"].dtype == np.float32
    assert (made.length, made.terminated, made.truncated, made.end_reason) == (3, True, False, "terminated")
    assert not quirks


def test_an_end_with_a_discount_is_a_truncation_and_keeps_it_and_no_end_is_neither():
    made, _ = read(episode(4, steps(discounts=(1.0, 1.0, 0.75))))
    assert (made.terminated, made.truncated, made.end_reason) == (False, True, "time_limit")
    assert made.steps["discount"][2] == 0.75
    made, _ = read(episode(4, steps(), ended=False))
    assert (made.terminated, made.truncated, made.end_reason) == (False, False, "source")
    assert made.has_final_observation


def test_whole_numbers_of_python_get_the_type_of_the_spec_where_it_holds_them():
    assert read(episode(4, steps()))[0].steps["action"].dtype == np.int32
    assert read(episode(4, steps()), {})[0].steps["action"].dtype == np.int64
    assert read(episode(4, steps()), {"action_spec": {"dtype": "bool"}})[0].steps["action"].dtype == np.int64


def test_nested_observations_are_named_as_by_every_source():
    nested = [numbers(["observation", *keys], np.zeros((4, 2)), "<u1") for keys in (["a", "0"], ["b/c"], [".."])]
    made, _ = read(with_column(*nested, without=["observation"]))
    names = {name for name in made.steps if name.startswith("observation")}
    assert names == {"observation/a/0", "observation/b%2Fc", "observation/%2E%2E"}


def test_an_action_of_several_arrays_lies_side_by_side():
    after = [False, True, True, True]
    parts = [
        numbers(["action", "arm"], np.ones((3, 2)), "<f4", after),
        numbers(["action", "grip"], [0.5, 0.25, 2**-30], "<f8", after),
    ]
    made, quirks = read(with_column(*parts, without=["action"]))
    np.testing.assert_array_equal(made.steps["action"], [[1, 1, 0.5], [1, 1, 0.25], [1, 1, 2**-30], [0, 0, 0]])
    assert "joined_actions" in quirks
    listed = [numbers(["action", str(k)], [0.5] * 3, "<f8", after) for k in range(2)]
    made, quirks = read(with_column(*listed, without=["action"]))
    assert made.steps["action"].shape == (4, 2)
    assert not quirks, "a list of numbers is one array"


def test_what_was_logged_of_a_time_step_came_about_by_the_action_before_it():
    columns = [
        numbers(["custom", "energy"], [9, 1, 2, 3], "<i8"),
        numbers(["custom", "late"], [5.5], "<f8", [False, False, False, True]),
        texts(["custom", "word"], ["start", "go", None, "stop"]),
        numbers(["custom", "../../x"], [1], "<i8", [True, False, False, False]),
    ]
    made, _ = read(with_column(*columns))
    np.testing.assert_array_equal(made.steps["info/energy"], [1, 2, 3, 0])
    np.testing.assert_array_equal(made.steps["info/late"], [0, 0, 5.5, 0])
    np.testing.assert_array_equal(made.steps["info_present/late"], [False, False, True, False])
    assert made.info_texts == {"word": ["go", None, "stop"]}
    assert made.reset_texts == {"word": "start"}
    assert {name: array.item() for name, array in made.reset_info.items()} == {"energy": 9, "%2E.%2F..%2Fx": 1}


def test_data_that_are_one_value_are_called_custom_and_what_is_said_of_an_episode_lies_behind_its_name():
    frame = episode(
        4,
        [*steps(), numbers(["custom"], [0, 1, 2, 3], "<f8")],
        [numbers(["episode", "sum"], [6], "<i8"), texts(["episode", "agent"], ["q"])],
    )
    made, _ = read(frame)
    np.testing.assert_array_equal(made.steps["info/custom"], [1, 2, 3, 0])
    assert made.reset_info["episode/sum"] == 6
    assert made.reset_texts == {"episode/agent": "q"}


def test_what_is_no_array_and_no_text_is_left_out_and_counted():
    _, quirks = read(with_column(unfit(["custom", "raw"], "it holds bytes")))
    assert quirks == {"unread_arrays": "raw of 1 episode is not stored: it holds bytes."}


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (with_column(without=["observation"]), "no observation"),
        (with_column(without=["action"]), "no action"),
        (with_column(without=["reward"]), "no reward"),
        (
            with_column(numbers(["reward"], np.ones((3, 2)), "<f8", [False, True, True, True]), without=["reward"]),
            "one nu",
        ),
        (
            with_column(numbers(["reward"], [1, 2], "<f8", [False, True, False, True]), without=["reward"]),
            "time step 2",
        ),
        (with_column(unfit(["observation"], "its shapes differ"), without=["observation"]), "its shapes differ"),
        (with_column(texts(["observation"], ["a", "b", "c", "d"]), without=["observation"]), "it holds texts"),
        (episode(4, steps(discounts=(1.0, 3.0, 0.0))), r"discount must lie in \[0, 1\]"),
        (episode(4, steps(discounts=(1.0, np.nan, 0.0))), "discount holds NaN"),
    ],
)
def test_what_no_episode_can_hold_is_said_in_plain_words(block, words):
    with pytest.raises(InvalidInput, match=words):
        read(block)
