"""What the config group `retrieval` may be set to."""

import pytest

from pipeline.errors import InvalidInput, UnknownName
from pipeline.regent.settings import RetrievalSettings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metric": "cosin"}, "retrieval.metric.*cosine"),
        ({"device": "gpu"}, "retrieval.device.*cpu"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_known_ones(wrong, message):
    with pytest.raises(UnknownName, match=message):
        RetrievalSettings(**wrong)


@pytest.mark.parametrize("name", ["demos", "neighbours", "states"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(InvalidInput, match=f"retrieval.{name}=0 must be at least 1"):
        RetrievalSettings(**{name: 0})


def test_a_number_of_another_type_is_named_as_it_is_typed():
    with pytest.raises(InvalidInput, match=r"retrieval\.demos=two is of the wrong type: it must be a whole number"):
        RetrievalSettings(demos="two")
