"""The doctor as a stage: datasets against each other, what is missing, what the simulator repeats, and foreign data."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.doctor.findings import SEVERITIES
from pipeline.errors import ArtifactNotFound, InvalidInput
from stages import doctor
from tests.conftest import made_episode
from tests.pipeline.doctor.given import GivenEpisodes, stored
from tests.stages.test_doctor import examine


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two tasks of three have `x-v1`, `y-v1` shares two episodes with it."""
    workspace = Workspace(str(tmp_path_factory.mktemp("outside")))
    rng = np.random.default_rng(4)
    made = [made_episode(rng, 6, seed=number) for number in range(12)]
    stored(workspace, "x-v1", made[:8])
    stored(workspace, "x-v1", made[:8], "maze")
    stored(workspace, "y-v1", made[6:])
    return workspace


def found(workspace: Workspace, tmp_path: Path, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """All findings by name, as the JSON file has them; errors of the data do not end the test."""
    file = tmp_path / "found.json"
    with suppress(doctor.FaultyData):
        examine(workspace, dataset="x-v1", json=str(file), **settings)
    told = json.loads(file.read_text())
    every = [*told["findings"], *(finding for each in told["datasets"] for finding in each["findings"])]
    assert told["counts"] == {
        name: sum(each["severity"] == name for each in every) for name in ("error", "warning", "note")
    }
    names = dict.fromkeys(each["name"] for each in every)
    return {name: [each for each in every if each["name"] == name] for name in names}


def test_a_domain_whose_tasks_are_not_all_there_is_told_so_once(workspace: Workspace, tmp_path: Path):
    (missing,) = found(workspace, tmp_path)["missing_tasks"]
    assert (missing["where"], missing["examples"]) == ("toy/x-v1", ["key"])
    assert "missing_tasks" not in found(workspace, tmp_path, only_tasks="corner")
    assert "missing_tasks" not in found(workspace, tmp_path, skip=["missing"])


def test_datasets_that_are_named_must_share_nothing(workspace: Workspace, tmp_path: Path):
    (leaked,) = found(workspace, tmp_path, only_tasks="corner", against=["y-v1"])["leaked_episodes"]
    assert (leaked["severity"], leaked["count"], leaked["where"]) == ("error", 2, "toy/corner/x-v1")
    only_leaks = found(workspace, tmp_path, only_tasks="corner", against=["y-v1"], only=["leaks"])
    assert list(only_leaks) == ["leaked_episodes"]
    (told,) = found(workspace, tmp_path, only_tasks="corner")["shared_episodes"]
    assert (told["severity"], told["count"]) == ("note", 2)
    with pytest.raises(ArtifactNotFound, match="There is no dataset z-v1"):
        examine(workspace, dataset="x-v1", only_tasks="corner", against=["z-v1"])


def test_replay_is_made_where_it_is_asked_for(workspace: Workspace, tmp_path: Path):
    assert "not_replayed" in found(workspace, tmp_path, only_tasks="corner", replay=2)
    assert "not_replayed" not in found(workspace, tmp_path, only_tasks="corner")


def foreign(workspace: Workspace) -> GivenEpisodes:
    """Sixty episodes that drift, without seeds; one is copied, one is in `y-v1`, with other number types and infos."""
    rng = np.random.default_rng(5)
    made = [made_episode(rng, 6) for _ in range(58)]
    for number, episode in enumerate(made):
        episode.steps["observation"][:, 0] += number / 4
    of_ours = workspace["toy/corner/y-v1"][5]
    return GivenEpisodes([*made, made[3], replace(of_ours, seed=-1)])


def test_foreign_data_are_examined_as_they_stream_by_and_compared_with_ours(workspace: Workspace, tmp_path: Path):
    before = list(workspace)
    told = found(workspace, tmp_path, only_tasks="corner", source=foreign(workspace), against=["y-v1"], replay=1)
    assert told["duplicate_episodes"][0]["examples"] == ["episodes 3, 58"]
    assert told["unknown_seeds"][0]["count"] == 60
    assert told["drift"][0]["examples"][0].startswith("mean of observation[0]: ")
    assert told["leaked_trajectories"][0]["examples"] == ["episode 59 is episode 5 there"]
    assert "ingest them first" in told["not_replayed"][0]["what"]
    assert list(workspace) == before


def test_foreign_data_of_no_known_task_are_not_compared(workspace: Workspace):
    with pytest.raises(InvalidInput, match=r"stage\.doctor\.against names datasets of a task: say which"):
        examine(workspace, domain=None, source=foreign(workspace), against=["y-v1"])


def test_the_worst_finding_comes_first_whatever_found_it(workspace: Workspace, tmp_path: Path):
    found(workspace, tmp_path, only_tasks="corner", against=["y-v1"])
    (dataset,) = json.loads((tmp_path / "found.json").read_text())["datasets"]
    ranks = [SEVERITIES.index(each["severity"]) for each in dataset["findings"]]
    assert ranks == sorted(ranks)
    assert dataset["checked"][-2:] == ["leaks", "missing"]
