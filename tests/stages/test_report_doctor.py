"""The page of a dataset shows what the doctor finds in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.checks import DOCTOR_FORMAT
from pipeline.report.identity import made_page
from pipeline.report.sources import page_sources
from stages import report
from tests.conftest import made_episode
from tests.pages import figures_of, html_of, settings, text_of
from tests.pipeline.doctor.given import stored


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A dataset in which two episodes are copies, and one without a fault."""
    workspace = Workspace(str(tmp_path_factory.mktemp("doctor")))
    rng = np.random.default_rng(0)
    episodes = [made_episode(rng, 4, seed=number, terminated=True, end_reason="terminated") for number in range(8)]
    for episode in episodes:
        episode.steps["discount"][-2] = 0
    stored(workspace, "clean-v1", episodes, "maze")
    stored(workspace, "copied-v1", [*episodes, episodes[2], replace(episodes[3])], "maze")
    return workspace


@pytest.fixture(scope="module")
def page(workspace: Workspace) -> Artifact:
    return report.run(**settings(workspace, dataset="copied-v1"))


def test_an_error_is_told_at_the_top_and_shown_with_where_it_is_and_what_mends_it(page: Artifact):
    html, text = html_of(page), text_of(html_of(page))
    assert "The doctor found 1 error. Training on this dataset would be wrong: see what was found ." in text
    assert "error duplicate_episodes 2 episodes of 10 are copies of others, to the last bit, seeds too." in text
    assert "episodes 2, 8 episodes 3, 9" in text
    assert "stage.select.of=copied-v1" in text
    assert "python run.py stage=doctor domain=toy task=maze dataset=copied-v1" in text
    assert '<a href="#doctor">' in html
    assert '<section id="doctor">' in html


def test_figures_hold_the_findings_without_commands(page: Artifact):
    said = figures_of(page)["diagnosis"]
    (finding,) = (each for each in said["findings"] if each["severity"] == "error")
    assert (finding["name"], finding["count"], finding["examples"]) == (
        "duplicate_episodes", 2, ["episodes 2, 8", "episodes 3, 9"],
    )  # fmt: skip
    assert "command" not in finding
    assert {"duplicates", "seeds", "drift"} <= set(said["checked"])
    assert "drift needs 33 episodes or more" in said["unchecked"]


def test_a_dataset_without_errors_has_no_alarm(workspace: Workspace):
    text = text_of(html_of(report.run(**settings(workspace, dataset="clean-v1"))))
    assert "The doctor found" not in text
    assert "Checked: " in text


def test_a_page_without_the_doctor_is_another_page_and_reads_nothing_more(workspace: Workspace, page: Artifact):
    plain = report.run(**settings(workspace, dataset="copied-v1"), doctor=False)
    assert plain.path != page.path
    assert figures_of(plain)["diagnosis"] is None
    assert "<h2>Doctor" not in html_of(plain)
    assert page.manifest.parameters["doctor"] == DOCTOR_FORMAT
    assert "doctor" not in plain.manifest.parameters


def test_the_index_takes_the_page_with_the_doctor_and_else_the_one_without(workspace: Workspace, page: Artifact):
    recipe = settings(workspace, dataset="copied-v1")["recipe"]
    assert made_page(page_sources(recipe, workspace, DOCTOR_FORMAT), workspace).path == page.path
    plain = report.run(**settings(workspace, dataset="copied-v1"), doctor=False)
    later = made_page(page_sources(recipe, workspace, DOCTOR_FORMAT + 1), workspace)
    assert later.path == plain.path


def test_no_folder_of_this_machine_is_on_the_page(page: Artifact, workspace: Workspace):
    assert str(Path(workspace.root).parent) not in html_of(page)
