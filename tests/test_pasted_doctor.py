"""What the doctor suggests, provoked and pasted into a warm shell."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from pipeline.command import Typed, user_typed
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.block import Subject
from pipeline.doctor.commands import verify_of
from pipeline.episode import with_last_row
from tests.contracts.format import Listed, ingested
from tests.pipeline.doctor.planted import healthy
from tests.warm_shell import ROOT, shell_beside_a_dataset

pytestmark = pytest.mark.slow

DOCTOR = ("stage=doctor", "domain=toy")
FEW = ("stage.doctor.thresholds.states=20", "stage.doctor.thresholds.episodes=3")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with shell_beside_a_dataset(tmp_path_factory.mktemp("a b")) as shell:
        yield shell


def test_a_name_that_no_task_has_ends_in_the_names_that_there_are(shell):
    shell.pasted(shell.suggested(*DOCTOR, "dataset=random-v1")[-1])
    shell.pasted(shell.suggested(*DOCTOR, "task=maze", "dataset=random-v1")[-1])


def test_what_shows_a_fault_can_be_pasted(shell):
    ingested(Listed(healthy(success=0)), Workspace(str(shell.folder / "my data")), "failed-v1")
    (page,) = shell.suggested(*DOCTOR, "task=corner", "dataset=failed-v1", *FEW, status=0)
    assert "stage=report" in page
    assert "built" in shell.pasted(page)
    with user_typed(Typed((*DOCTOR, "paths.root=my data"), str(ROOT / "run.py"))):
        line = verify_of(Subject("toy/corner/failed-v1", "toy", "corner", "failed-v1"))
    assert "whole" in shell.pasted(line)


def test_episodes_with_a_fault_are_left_out_by_what_is_suggested(shell):
    ones = {"discount": with_last_row("discount", np.ones(8))}
    made = [*healthy(4), *healthy(1, steps=ones), *healthy(2, length=70, terminated=False, truncated=True)]
    limited = Limited([replace(each, seed=number) for number, each in enumerate(made)])
    ingested(limited, Workspace(str(shell.folder / "my data")), "long-v1")
    for line in shell.suggested(*DOCTOR, "task=corner", "dataset=long-v1", "stage.doctor.only=[ends,lengths]"):
        shell.pasted(line.replace("dataset=long-v1-selected", f"dataset=part-{line.count('episode !=')}-v1"))
    for name, left in (("part-1-v1", 6), ("part-0-v1", 5)):
        assert len(Workspace(str(shell.folder / "my data"))[f"toy/corner/{name}"]) == left


class Limited(Listed):
    """A source that states a time limit."""

    def identity(self, domain, task):
        return {**super().identity(domain, task), "max_episode_steps": 60}


def test_missing_tasks_and_episodes_are_made_by_what_is_suggested(shell):
    (makes,) = shell.suggested(*DOCTOR, "dataset=d-v1", status=0)
    assert "'task=[maze,key]'" in makes
    assert shell.pasted(f"{makes} episodes=3").count("built") == 2
    (grows,) = shell.suggested(*DOCTOR, "dataset=d-v1", status=0)
    assert "task=corner" in grows
    assert "3 episodes" in shell.pasted(grows)
    assert shell.suggested(*DOCTOR, "dataset=d-v1", status=0) == []


def test_episodes_of_another_simulator_are_stepped_again_by_what_is_suggested(shell):
    asked = (*DOCTOR, "task=corner", "dataset=d-v1", "stage.doctor.replay=1")
    assert shell.suggested(*asked, status=0) == []
    (steps,) = shell.suggested(*asked, "domain.max_steps=7", status=0)
    assert "stage.verify.audit=replay" in steps
    assert "replay exactly" in shell.pasted(steps)


def test_a_page_leads_to_the_doctor(shell):
    shell.run("stage=report", "domain=toy", "task=corner", "dataset=d-v1")
    pages = "".join(page.read_text() for page in (shell.folder / "my data").rglob("page/index.html"))
    (line,) = re.findall(r"python run.py stage=doctor [^<]*dataset=d-v1[^<]*", pages)
    line = unescape(line).replace("run.py", str(ROOT / "run.py"))
    assert "toy/corner/d-v1: nothing found" in shell.pasted(line)
