"""Which tasks a command works on."""

import pytest

from pipeline.campaign.tasks import Asked, tasks_for
from pipeline.errors import InvalidInput, UnknownName
from tests.conftest import collected, toy_domain


@pytest.mark.parametrize(
    ("task", "tasks"),
    [("toy-MAZE", ["maze"]), (["key", "corner"], ["key", "corner"]), ("all", ["corner", "maze", "key"])],
)
def test_named_tasks_are_taken_as_they_are_named(workspace, task, tasks):
    assert tasks_for(Asked(["bins"], task, ["scripted-v1"]), toy_domain(), workspace) == tasks


def test_unset_a_reading_stage_works_on_the_tasks_that_have_the_dataset(workspace, caplog):
    caplog.set_level("INFO")
    collected(toy_domain(), workspace, "maze", episodes=2)
    assert tasks_for(Asked(["bins"], None, ["scripted-v1"]), toy_domain(), workspace) == ["maze"]
    assert "skipped 2 tasks without the dataset scripted-v1: corner, key" in caplog.messages
    with pytest.raises(InvalidInput, match="No task of toy has the dataset other-v1"):
        tasks_for(Asked(["bins"], None, ["other-v1"]), toy_domain(), workspace)


def test_unset_a_stage_that_begins_works_on_all_that_can_be_had(workspace):
    asked = Asked(["ingest"], None, ["jat-v1"], begins=True)
    assert tasks_for(asked, toy_domain(), workspace) == ["corner", "maze", "key"]
    assert tasks_for(asked, toy_domain(), workspace, held=["key"]) == ["key"]


def test_a_domain_and_a_known_task_are_wanted(workspace):
    with pytest.raises(InvalidInput, match="stage=bins,parquet needs a domain"):
        tasks_for(Asked(["bins", "parquet"], None, []), None, workspace)
    with pytest.raises(UnknownName, match="no toy task named nowhere"):
        tasks_for(Asked(["bins"], "nowhere", []), toy_domain(), workspace)


def test_a_stage_that_reads_several_datasets_works_on_the_tasks_that_have_them_all(workspace):
    for name in ("scripted-v1", "random-v1"):
        collected(toy_domain(), workspace, "maze", episodes=1, dataset=name)
    collected(toy_domain(), workspace, "key", episodes=1)
    asked = Asked(["stitch"], None, ["scripted-v1", "random-v1"], needs_all=True)
    assert tasks_for(asked, toy_domain(), workspace) == ["maze"]
    with pytest.raises(InvalidInput, match=r"(?s)scripted-v1 and gone-v1 .*task=maze dataset=gone-v1"):
        tasks_for(Asked(["stitch"], None, ["scripted-v1", "gone-v1"], needs_all=True), toy_domain(), workspace)
