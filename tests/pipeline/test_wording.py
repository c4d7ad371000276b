"""Names and errors in messages."""

from __future__ import annotations

import pytest

from pipeline.errors import UnknownName
from pipeline.wording import (
    check_choice,
    error_text,
    few,
    first_few,
    first_line,
    how_many,
    json_words,
    last_line,
    number_ranges,
    ordinal,
    slug,
    writable,
)


def test_a_long_list_ends_with_how_many_more_there_are():
    assert few(["a", "b", "c", "d", "e"], most=2) == "a, b and 3 more"
    assert few(["a", "b"], most=2) == "a, b"
    assert few([]) == ""


def test_a_value_that_is_no_choice_is_refused_with_the_choices():
    check_choice("source.edges", "keep", ("keep", "drop"))
    with pytest.raises(UnknownName, match=r"no source.edges named kept. Known: drop, keep\."):
        check_choice("source.edges", "kept", ("keep", "drop"))


@pytest.mark.parametrize(("name", "expected"), [("My_Env-v0", "my-env-v0"), ("ALE/Pong", "ale-pong"), ("!?", "")])
def test_a_slug_is_made_of_small_letters_and_digits(name, expected):
    assert slug(name) == expected


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def test_an_error_is_told_whatever_it_says():
    assert error_text(Speechless()) == "Speechless: its text cannot be read"
    assert error_text(ValueError("half \ud800")) == r"ValueError: half \ud800"
    assert writable("whole é") == "whole é"


def test_an_error_is_told_by_its_type_where_it_has_no_text():
    assert error_text(OSError("no display")) == "OSError: no display"
    assert error_text(OSError()) == first_line(OSError()) == last_line(OSError()) == "OSError"


def test_the_first_and_the_last_line_of_an_error():
    error = ValueError("\nfirst\nsecond\nlast\n")
    assert (first_line(error), last_line(error)) == ("first", "last")


def test_numbers_that_follow_one_another_are_a_range():
    assert number_ranges([7, 1, 3, 2]) == "1-3, 7"
    assert number_ranges([0, 1, 3]) == "0-1, 3"
    assert number_ranges([]) == ""


@pytest.mark.parametrize(("number", "words"), [(0, "0 tasks"), (1, "1 task"), (1_200, "1,200 tasks")])
def test_one_thing_is_told_in_the_singular(number, words):
    assert how_many(number, "tasks") == words


def test_a_json_value_stays_short_in_a_message():
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    assert json_words(deep) == "a list"
    assert json_words({"a": 1}) == "an object"
    assert json_words("x" * 99) == '"' + "x" * 39
    assert json_words(None) == "null"


@pytest.mark.parametrize(
    ("number", "word"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (12, "12th"), (22, "22nd")]
)
def test_ordinals_end_as_they_are_spoken(number, word):
    assert ordinal(number) == word


@pytest.mark.parametrize(("count", "shown", "last"), [(0, 0, ""), (2, 2, "b 1"), (5, 3, "2 more differ")])
def test_the_first_sentences_are_told_and_how_many_more_there_are(count: int, shown: int, last: str):
    found = list(first_few((f"b {number}" for number in range(count)), "differ", most=3))
    assert found[:shown] == [f"b {number}" for number in range(shown)]
    assert "".join(found[-1:]) == last
