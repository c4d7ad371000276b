"""The recipe: what the domain and the settings come to, and what of it belongs to an artifact's identity."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.regent.context import RETRIEVED
from pipeline.regent.recipe import Recipe
from pipeline.regent.rows import RowLayout
from pipeline.regent.settings import RetrievalSettings


def recipe(domain, task="corner", **settings):
    return Recipe(domain, task, "scripted-v1", retrieval=RetrievalSettings(**settings))


def test_unset_numbers_are_the_domains_own_and_set_ones_win(toy):
    plain, asked = recipe(toy), recipe(toy, demos=3, neighbours=30, states=99)
    assert (plain.demos, plain.neighbours, plain.states) == (5, 20, 150)
    assert (asked.demos, asked.neighbours, asked.states) == (3, 30, 99)


def test_parameters_hold_the_rule_by_which_queries_are_chosen(toy):
    leading = recipe(toy, metric="cosine").retrieval_parameters()
    assert leading == {
        "metric": "cosine",
        "demos": 5,
        "neighbours": 20,
        "states": 150,
        "queries": "leading rows",
        "row_width": 8,
    }
    unseen = recipe(toy, "key").retrieval_parameters()
    assert (unseen["queries"], unseen["states"]) == ("pool", None)
    cut = replace(toy, regent=replace(toy.regent, rows_per_demo=3))
    assert recipe(cut).retrieval_parameters()["rows_per_demo"] == 3
    missions = replace(toy, regent=replace(toy.regent, missions=True, fewest={"maze": 2}))
    assert recipe(missions).retrieval_parameters() == leading | {"metric": "l2", "queries": "missions", "fewest": 5}
    assert recipe(missions, "maze").fewest == 2
    assert recipe(missions, "maze", demos=1).fewest == 1


def test_what_changes_no_byte_is_no_parameter(toy):
    assert recipe(toy, device="cpu").retrieval_parameters() == recipe(toy).retrieval_parameters()


def test_missions_are_asked_only_where_the_domain_retrieves_by_them(toy):
    layout = RowLayout(np.array([9, 9, 9]), 8)
    assert recipe(toy).choose(layout, missions=lambda: pytest.fail("nobody needs missions")).pool == 27
    missions = replace(toy, regent=replace(toy.regent, missions=True, demos=2))
    assert recipe(missions).choose(layout, lambda: ["a", "b", "a"]).rows.tolist() == [0, 1, 4, 5]


def test_a_recipe_for_several_tasks_gives_that_of_each(toy):
    several = recipe(toy, ["corner", "key"])
    assert [several.for_task(task).unseen for task in several.task] == [False, True]
    for task in (None, "all", ["corner", "key"]):
        with pytest.raises(InvalidInput, match=r"one task: recipe\.for_task\('corner'\)"):
            _ = recipe(toy, task).one_task


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"domain": None}, "need a domain: domain=NAME"),
        ({"dataset": 5}, "dataset=5 is of the wrong type: it must be a text"),
        ({"episodes": "abc"}, "episodes=abc is of the wrong type: it must be a whole number or null"),
        ({"episodes": True}, "episodes=True is of the wrong type"),
        ({"images": "maybe"}, "bins.images=maybe is of the wrong type: it must be true or false"),
        ({"upstream_json": 1}, "bins.upstream_json=1 is of the wrong type"),
        ({"retrieval": RetrievalSettings(neighbours=RETRIEVED - 1)}, "neighbours=18 is too few: .* first 19"),
    ],
)
def test_values_that_cannot_be_are_refused_before_anything_is_opened(toy, wrong, message):
    with pytest.raises(InvalidInput, match=message):
        Recipe(**{"domain": toy, "task": "corner", "dataset": "scripted-v1", **wrong})
