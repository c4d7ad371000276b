"""docs/scaling.md says what was measured and what the simulation makes of it; the real run agrees."""

from xml.etree import ElementTree

import pytest

from benchmarks.scaling.chart import drawn
from benchmarks.scaling.check import predicted
from benchmarks.scaling.costs import CHECK, UNITS, load_costs, load_records
from benchmarks.scaling.page import (
    PAGE,
    PLOTS,
    duration,
    outcome_table,
    quick_tables,
    size,
    table_of,
    with_table,
    with_totals,
)
from benchmarks.scaling.plans import CHECKPOINTS, GAMES, JAT, RUNS, dqn_outcome, dqn_phases, jat_outcome, jat_phases

COSTS = load_costs()
TEXT = PAGE.read_text()


def test_there_is_a_cost_of_every_unit_and_no_other():
    assert list(COSTS.units) == list(UNITS)
    assert min(COSTS.units.values()) >= 0


@pytest.mark.parametrize("name", quick_tables(COSTS))
def test_a_table_is_what_the_costs_give(name):
    assert table_of(TEXT, name) == quick_tables(COSTS)[name]


@pytest.mark.parametrize("workers", [100, 1000])
def test_a_line_of_the_dqn_replay_dataset_is_what_the_simulation_gives(workers):
    line = outcome_table({workers: dqn_outcome(COSTS, workers)}).splitlines()[-1]
    assert line in table_of(TEXT, "dqn").splitlines()


@pytest.mark.parametrize(("name", "divided"), [("jat", False), ("jat-divided", True)])
def test_a_line_of_jat_is_what_the_simulation_gives(name, divided):
    line = outcome_table({1000: jat_outcome(COSTS, 1000, divided)}).splitlines()[-1]
    assert line in table_of(TEXT, name).splitlines()


def test_every_checkpoint_is_ingested_once_however_many_workers_there_are():
    for workers in (1, 100, 300, 1000, 3000):
        pieces = dqn_phases(COSTS, workers)[0]
        assert sum(map(len, pieces)) == GAMES * RUNS * CHECKPOINTS
        assert (len(pieces) > GAMES * RUNS) == (workers > GAMES * RUNS // 4 and workers >= 300)


def test_dividing_jat_changes_who_does_the_work_and_not_how_much_of_it_there_is():
    whole, divided = (jat_phases(COSTS, 1000, each) for each in (False, True))
    assert len(whole[0]) == sum(part.tasks for part in JAT) < len(divided[0])
    for one, other in zip(whole, divided, strict=True):
        work = [sum(task.core_s for job in phase for task in job) for phase in (one, other)]
        assert work[0] == pytest.approx(work[1])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("what", ["sweep", "together"])
def test_the_real_run_agrees_with_the_prediction_within_15_percent(workers, what):
    """The sweep, of a minute at least, and all of it; what was predicted then is what these costs predict."""
    rows = {(row["workers"], row["what"]): row for row in with_totals(load_records(CHECK)["rows"])}
    row, again = rows[workers, what], predicted(COSTS, workers)
    assert row["predicted_s"] == pytest.approx(again["sweep"] if what == "sweep" else sum(again.values()), abs=0.11)
    assert row["predicted_s"] == pytest.approx(row["measured_s"], rel=0.15)
    assert rows[workers, "sweep"]["measured_s"] >= 60


def test_the_plots_are_pictures_with_a_dot_for_each_size():
    for place in PLOTS.values():
        assert ElementTree.parse(place).getroot().tag.endswith("svg")
    tree = ElementTree.fromstring(drawn("a < b", {"x & y": [(1, 20.0, "cores"), (100, 0.3, "shared disk")]}))
    assert len([each for each in tree.iter() if each.find("{*}title") is not None]) == 2


def test_a_table_takes_its_place_and_leaves_the_rest():
    text = "a\n<!-- x -->\nold\n<!-- end -->\nb <!-- y -->\n<!-- end -->"
    assert with_table(text, "x", "new") == text.replace("old", "new")
    assert table_of(with_table(text, "x", "1\n2"), "x") == "1\n2"
    with pytest.raises(ValueError, match="no place <!-- z -->"):
        with_table(text, "z", "")


def test_durations_and_sizes_are_told_in_the_largest_unit_that_fits():
    assert [duration(each) for each in (12, 90, 7200, 86_400, 4 * 86_400)] == [
        "12 s",
        "1.5 min",
        "2.0 h",
        "24.0 h",
        "4.0 d",
    ]
    assert [size(each) for each in (12, 4.071e12, 1.2e15)] == ["12 B", "4.1 TB", "1.2 PB"]
