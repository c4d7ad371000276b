"""An export is read back by its own door: what differs from its dataset is named, whatever made the difference."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from pipeline.artifacts.artifact import MANIFEST, Artifact
from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.formats.checks import wrong_export
from pipeline.formats.choice import FORMS
from pipeline.formats.contract import Outgoing
from stages import gc, verify
from tests.conftest import made_episode
from tests.contracts.format import Listed, exported, ingested
from tests.manifests import edited
from tests.pipeline.formats.test_contract import ArraysFormat, ArraysSource


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(FORMS, "arrays", "tests.pipeline.formats.test_contract.ArraysFormat")


@pytest.fixture
def dataset(workspace: Workspace) -> Artifact:
    rng = np.random.default_rng(3)
    return ingested(Listed([made_episode(rng, 2 + number) for number in range(8)]), workspace)


@pytest.fixture
def export(workspace: Workspace, dataset: Artifact) -> Artifact:
    return exported(ArraysFormat(), workspace)


def damage(workspace: Workspace) -> str:
    """What verify says is wrong; empty where all is whole."""
    try:
        verify.run(domain=None, only=None, workspace=workspace, audit=None, workers=1)
    except DamagedArtifact as error:
        return str(error)
    return ""


def other_reward(path: Path) -> None:
    """Write another last reward into a file of the form."""
    with np.load(path) as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    changed["reward"][0] += 1
    np.savez(path, **changed)


def test_an_export_that_holds_its_dataset_is_whole(workspace, export, caplog):
    with caplog.at_level(logging.INFO):
        assert not damage(workspace)
    assert "not compared" not in caplog.text
    assert not list(wrong_export(exported(ArraysFormat(), workspace, episodes=3), workspace))


def test_an_export_is_found_by_its_form_and_its_dataset(workspace, export):
    exported(ArraysFormat(), workspace, episodes=3)
    assert workspace.find("export", "toy/corner", format="arrays", episodes=8).path == export.path
    assert "kind export, which has no arrays to open. Its files: data/corner/0.npz" in _opening(export)


def _opening(export: Artifact) -> str:
    with pytest.raises(InvalidInput) as caught:
        export.open()
    return str(caught.value)


def test_an_episode_that_the_form_wrote_otherwise_is_named_and_in_what(workspace, export):
    other_reward(place_in(export) / "2.npz")
    assert list(wrong_export(export, workspace)) == ["episode 2 differs from its dataset in rewards"]
    assert "2.npz has other bytes" in damage(workspace)  # nobody reads further


def test_an_episode_too_many_and_one_too_few_are_named(workspace, export):
    shutil.copyfile(place_in(export) / "7.npz", place_in(export) / "8.npz")
    assert list(wrong_export(export, workspace)) == ["episode 8 is none of the dataset"]
    for number in (7, 8):
        (place_in(export) / f"{number}.npz").unlink()
    assert list(wrong_export(export, workspace)) == ["episode 7 is missing"]


def test_of_many_episodes_that_differ_a_few_are_named(workspace, export):
    for number in range(8):
        other_reward(place_in(export) / f"{number}.npz")
    lines = list(wrong_export(export, workspace))
    assert len(lines) == 6
    assert lines[-1] == "3 more episodes differ"


def test_a_dataset_that_has_other_content_now_is_damage_and_one_that_is_gone_is_said(
    workspace, dataset, export, caplog
):
    shutil.rmtree(dataset.path)
    with caplog.at_level(logging.INFO):
        assert not damage(workspace)
        gc.run(domain=None, only=None, workspace=workspace, delete=False)
    assert "its episodes were not compared: the dataset listed-v1 is gone or damaged" in caplog.text
    assert f"would remove {export.path} (its parents are gone" in caplog.text
    ingested(Listed([made_episode(np.random.default_rng(4), 2) for _ in range(8)]), workspace)
    assert f"{export.path}: its dataset listed-v1 has other content now" in damage(workspace)


def test_a_form_that_is_not_known_is_not_compared(workspace, export, monkeypatch, caplog):
    monkeypatch.delitem(FORMS, "arrays")
    with caplog.at_level(logging.INFO):
        assert not damage(workspace)
    assert "were not compared with its dataset: There is no format named arrays" in caplog.text


def test_a_manifest_that_leads_out_of_the_artifact_is_damage(workspace, export):
    facts = json.loads((export.path / MANIFEST).read_text())["facts"]
    edited(export.path, facts=facts | {"place": "../../corner"})
    assert "does not say where in it the export lies" in damage(workspace)


def test_what_stands_for_a_last_observation_is_compared_as_it_was_written(workspace):
    episode = made_episode(np.random.default_rng(1), 4)
    steps = {name: array.copy() for name, array in episode.steps.items()}
    steps["observation"][-1] = 0
    ingested(Listed([replace(episode, steps=steps, has_final_observation=False)]), workspace, "lost-v1")
    for rule in ("drop", "repeat", "zero"):
        export = exported(ArraysFormat(), workspace, dataset="lost-v1", final_observation=rule)
        assert not list(wrong_export(export, workspace))


class JoinedSource(ArraysSource):
    """The task that is asked for lies in the folder of its name."""

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        return ArraysSource(f"{self.path}/{task}").episodes(domain, task, start)


class JoinedFormat(ArraysFormat):
    """All tasks in one folder, each in a folder of its name there."""

    name, joins = "joined", True

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath("all")

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (folder / "all").mkdir(exist_ok=True)
        for each in data:
            ArraysFormat().write([each], folder / "all")

    def source(self, path: Path) -> ArraysSource:
        return JoinedSource(str(path))


def test_of_several_tasks_in_one_export_each_is_compared_with_its_dataset(workspace, dataset, monkeypatch, caplog):
    monkeypatch.setitem(FORMS, "joined", f"{__name__}.JoinedFormat")
    rng = np.random.default_rng(9)
    maze = ingested(Listed([made_episode(rng, 3), made_episode(rng, 4)]), workspace, task="maze")
    export = exported(JoinedFormat(), workspace, task=["corner", "maze"])
    assert not damage(workspace)
    other_reward(place_in(export) / "maze" / "1.npz")
    assert list(wrong_export(export, workspace)) == ["episode 1 of maze differs from its dataset in rewards"]
    shutil.rmtree(maze.path)
    with caplog.at_level(logging.INFO):
        assert not list(wrong_export(export, workspace))
    assert "the dataset listed-v1 of maze is gone or damaged" in caplog.text
