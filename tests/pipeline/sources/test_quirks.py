"""Quirks: counted by name and sentence, in the order in which they were met."""

import doctest

import pytest

import pipeline.sources.quirks
from pipeline.sources.quirks import Quirk, Quirks


def test_the_example_in_the_docstring_is_true():
    assert doctest.testmod(pipeline.sources.quirks).attempted
    assert not doctest.testmod(pipeline.sources.quirks).failed


def test_what_is_counted_adds_up_and_what_is_noted_counts_once():
    quirks = Quirks()
    for _ in range(1500):
        quirks.count("late", "{count} rows are late.")
        quirks.note("gap", "{count} rows are not there.", 7)
    assert list(quirks) == [Quirk("late", 1500, "1,500 rows are late."), Quirk("gap", 7, "7 rows are not there.")]


def test_what_never_happened_is_no_quirk():
    quirks = Quirks()
    quirks.count("late", "{count} rows are late.", 0)
    quirks.note("gap", "{count} rows are not there.", 0)
    assert list(quirks) == []


def test_a_name_may_come_with_several_sentences():
    quirks = Quirks()
    for number in (3, 5):
        quirks.note("missing", f"checkpoint {number} is missing")
    assert [quirk.sentence for quirk in quirks] == ["checkpoint 3 is missing", "checkpoint 5 is missing"]


def test_braces_in_a_sentence_are_left_alone():
    quirks = Quirks()
    quirks.note("folder", "the folder {x} holds {count} files", 2)
    assert next(iter(quirks)).sentence == "the folder {x} holds 2 files"


@pytest.mark.parametrize(
    ("sentence", "one"),
    [
        ("{count} episodes lack their end: they were kept.", "1 episode lacks its end: it was kept."),
        ("{count} terminal rows are not the last.", "1 terminal row is not the last."),
        ("{count} episodes of one step were left out.", "1 episode of one step was left out."),
        ("The rows of {count} chunks were joined.", "The rows of 1 chunk were joined."),
    ],
)
def test_one_of_a_kind_is_singular(sentence, one):
    quirks = Quirks()
    quirks.note("odd", sentence)
    quirks.note("odd many", sentence, 1200)
    assert [quirk.sentence for quirk in quirks] == [one, sentence.replace("{count}", "1,200")]


def test_what_was_left_out_adds_up_as_its_count_does():
    quirks = Quirks()
    for left_out in (2, 0, 3):
        quirks.count(
            "incomplete", "{count} episodes.", 5, rule="source.incomplete=drop", dropped=left_out, unit="episodes"
        )
        quirks.note("links", "{count} links.", 4, rule="links are not followed", dropped=4, unit="links")
    quirks.count("late", "{count} rows are late.", 2, rule="by time", unit="rows")
    incomplete, links, late = quirks
    assert (incomplete.count, incomplete.dropped, incomplete.loss) == (15, 5, "5 episodes")
    assert (links.dropped, links.loss, links.rule) == (4, "4 links", "links are not followed")
    assert (late.dropped, late.unit, late.loss) == (0, "", "")


def test_what_was_left_out_has_a_unit():
    with pytest.raises(AssertionError, match="links"):
        Quirks().note("links", "{count} links.", 4, dropped=4)
