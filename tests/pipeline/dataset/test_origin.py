import pytest

from pipeline.dataset.origin import changed_since_export

MADE = {"domain": "toy", "task": "corner", "dataset": "scripted-v1", "episodes": 3, "held": "abc"}


def told(made_from, digest="abc", count=3, whole=True):
    return changed_since_export({"source": {"made_from": made_from}}, "toy/maze", digest, count, whole)


def test_the_episodes_that_were_exported_say_nothing():
    assert told(MADE) == ""


@pytest.mark.parametrize(("digest", "count"), [("abd", 3), ("abc", 4), ("abc", 2)])
def test_other_more_and_fewer_episodes_are_told(digest, count):
    assert f"these {count} episodes are not the 3 of toy/corner/scripted-v1" in told(MADE, digest, count)


def test_of_fewer_episodes_than_the_source_has_nothing_is_known():
    assert told(MADE, "abd", 2, whole=False) == ""


def test_of_several_tasks_the_one_of_that_name_is_meant():
    other = MADE | {"task": "maze", "held": "abd"}
    assert told([MADE, other], "abd") == ""
    assert told([MADE, other], "abc")
    assert told([MADE, MADE], "abd") == ""


@pytest.mark.parametrize("made_from", [None, [], {}, "text", [1], MADE | {"episodes": None}])
def test_what_says_nothing_of_its_digest_is_not_compared(made_from):
    assert told(made_from, "abd") == ""
    assert changed_since_export({}, "toy/maze", "abd", 3, True) == ""
