"""The commands that make a damaged artifact again."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts.artifact import Artifact, Manifest
from pipeline.artifacts.remake import remake


def again(kind: str, task: str, command: str, parents: tuple[dict[str, object], ...] = ()) -> str:
    """The command after the one that removes the folder."""
    manifest = Manifest(kind, task, "v", "f", "d", 1, parents=list(parents), command=command)
    return remake(Artifact(Path("/nowhere/v"), manifest)).partition(" && ")[2]


def test_what_spans_tasks_is_made_again_of_the_tasks_and_the_dataset_that_were_typed():
    typed = "python run.py stage=report domain=toy 'task=[corner,maze]' dataset=random-v1"
    pages = ({"kind": "report", "version": "p", "digest": "d", "episodes": None},)
    assert again("report", "toy/_all", typed, pages) == (
        "python run.py stage=report domain=toy 'task=[corner,maze]' dataset=random-v1"
    )


def test_what_is_of_one_task_is_made_again_of_it_and_of_the_dataset_that_it_was_made_of():
    typed = "python run.py stage=regent domain=toy task=all"
    episodes = ({"kind": "episodes", "version": "random-v1", "digest": "d", "episodes": 5},)
    assert again("bins", "toy/maze", typed, episodes) == (
        "python run.py stage=bins domain=toy task=maze dataset=random-v1"
    )


def test_fetched_bins_are_fetched_again():
    typed = "python run.py stage=fetch domain=toy hub.repo_id=me/toy"
    assert again("bins", "toy/maze", typed) == "python run.py stage=fetch domain=toy task=maze hub.repo_id=me/toy"
