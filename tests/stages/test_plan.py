"""The plan: counts and sizes of what is there, of what could be, and what it took."""

from dataclasses import replace

import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import InvalidInput
from pipeline.machine.files import size_of
from pipeline.regent.chain import Chain
from pipeline.regent.plan import plan_of
from pipeline.regent.recipe import Recipe
from stages import plan
from stages.plan import duration
from tests.manifests import edited


def planned(capsys, domain, workspace, only=None, **settings):
    plan.run(recipe=Recipe(domain, only, "scripted-v1", **settings), workspace=workspace)
    return {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}


def test_a_line_says_what_is_there_and_how_large_it_is(made, capsys):
    toy, workspace = made
    lines = planned(capsys, toy, workspace)
    assert "retrieval distances bins parquet" in lines["corner"]
    assert "no dataset scripted-v1" in lines["maze"]
    assert " 150 " in lines["maze"]  # the domain's own number of states; a held-out task's depends on its episodes
    assert "150" not in lines["key"]
    bins = workspace.of_kind("toy", "corner", "bins")[0]
    told = bins.manifest.counts["states"]
    assert f" {told} " in lines["corner"]
    counted = plan_of(Chain.of(Recipe(toy, "corner", "scripted-v1"), workspace))
    arrays = sum(path.stat().st_size for path in bins.path.rglob("*.bin"))
    assert counted.sizes["bins"] == arrays <= size_of(bins.path)


def test_a_line_says_how_long_episodes_are_or_at_most(made, capsys):
    toy, workspace = made
    lines = planned(capsys, toy, workspace)
    lengths = sorted(EpisodeDataset.of(workspace.dataset("toy", "corner", "scripted-v1")).lengths.tolist())
    least, most = lengths[1], lengths[18]
    assert f"({least}-{most})" in lines["corner"]
    assert "at most 60" in lines["maze"]


def test_settings_that_leave_nothing_are_told_in_the_line(made, capsys):
    toy, workspace = made
    by_mission = replace(toy, regent=replace(toy.regent, missions=True, demos=21))
    assert "No mission has 21 episodes" in planned(capsys, by_mission, workspace, only="corner")["corner"]


def test_a_domain_is_needed(made, capsys):
    with pytest.raises(InvalidInput, match="need a domain: domain=NAME"):
        planned(capsys, None, made[1])


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2.0 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_bins_that_were_fetched_are_no_trouble(made, capsys):
    toy, workspace = made
    bins = workspace.of_kind("toy", "corner", "bins")[0]
    edited(bins.path, parents=[])
    assert "retrieval distances parquet" in planned(capsys, toy, workspace)["corner"]
