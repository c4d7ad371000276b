"""Tasks and episodes that are missing are planted and found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.findings import Finding
from pipeline.doctor.missing import tasks_without, too_few
from tests.conftest import made_episode, toy_domain
from tests.pipeline.doctor.given import stored


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    rng = np.random.default_rng(0)
    return stored(Workspace(str(tmp_path_factory.mktemp("missing"))), "x-v1", [made_episode(rng, 3) for _ in range(4)])


def told(dataset: Artifact, command: str = "", **counts: Any) -> Artifact:
    """The dataset with another command and other counts."""
    manifest = dataset.manifest
    return replace(dataset, manifest=replace(manifest, command=command, counts={**manifest.counts, **counts}))


def by_name(findings: Any) -> dict[str, Finding]:
    return {each.name: each for each in findings}


def test_a_domain_with_equal_datasets_is_no_finding(dataset: Artifact):
    assert by_name(tasks_without(toy_domain(), "x-v1", dict.fromkeys(("corner", "maze", "key"), dataset))) == {}
    assert by_name(too_few(dataset)) == {}


def test_a_task_without_the_dataset_is_named_with_the_command_that_makes_it(dataset: Artifact):
    collected = replace(dataset, manifest=replace(dataset.manifest, parameters={}))
    there = dict.fromkeys(("corner", "maze"), collected)
    finding = by_name(tasks_without(toy_domain(), "scripted-v1", there))["missing_tasks"]
    assert (finding.severity, finding.where, finding.count) == ("warning", "toy/scripted-v1", 1)
    assert finding.what == "1 task of 3 has no dataset scripted-v1."
    assert finding.examples == ("key",)
    assert finding.command == "python run.py stage=collect domain=toy task=key dataset=scripted-v1"


def test_no_policy_is_to_play_under_the_name_of_what_came_in_by_a_door(dataset: Artifact):
    finding = by_name(tasks_without(toy_domain(), "x-v1", {"corner": dataset}))["missing_tasks"]
    assert finding.command == ""


def test_where_most_tasks_are_missing_it_is_a_note(dataset: Artifact):
    finding = by_name(tasks_without(toy_domain(), "random-v1", {"corner": dataset}))["missing_tasks"]
    assert (finding.severity, finding.count, finding.examples) == ("note", 2, ("maze, key",))
    assert "'task=[maze,key]' dataset=random-v1 policy=random" in finding.command


def test_a_task_with_fewer_episodes_than_the_others_is_named(dataset: Artifact):
    made_by = "python run.py stage=ingest domain=toy task=key dataset=x-v1 source=jat"
    there = dict.fromkeys(("corner", "maze"), dataset) | {"key": told(dataset, made_by, episodes=2)}
    finding = by_name(tasks_without(toy_domain(), "x-v1", there))["fewer_episodes"]
    assert (finding.severity, finding.count, finding.examples) == ("warning", 1, ("key: 2",))
    assert "1 task of 3 has fewer episodes than the 4 of most others" in finding.what
    assert "episodes=4" in finding.command
    assert "source=jat" in finding.command


def test_very_unequal_tasks_are_a_note(dataset: Artifact):
    amounts = {"corner": (4, 12), "maze": (5, 20), "key": (6, 1200)}
    there = {task: told(dataset, episodes=n, states=states) for task, (n, states) in amounts.items()}
    finding = by_name(tasks_without(toy_domain(), "x-v1", there))["unequal_tasks"]
    assert (finding.severity, finding.what) == ("note", "corner has 12 states, key 1,200.")
    assert dict(finding.numbers) == {"times": 100}


def test_fewer_episodes_than_were_asked_for_are_found(dataset: Artifact):
    command = "python run.py stage=ingest domain=toy task=corner source=jat episodes=9"
    finding = by_name(too_few(told(dataset, command, whole_source=0)))["fewer_than_asked"]
    assert (finding.severity, finding.count) == ("warning", 5)
    assert finding.what == "4 episodes are there, 9 were asked for; the source held no more."


def test_episodes_that_the_policy_gave_up_are_found(dataset: Artifact):
    finding = by_name(too_few(told(dataset, gave_up=3)))["gave_up"]
    assert (finding.severity, finding.count, dict(finding.numbers)) == ("warning", 3, {"share": 0.75})
