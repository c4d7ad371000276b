"""Episodes that the simulator does not repeat are found, with the first row that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.doctor.outside import OutsideChecks
from pipeline.doctor.replay import replayed
from pipeline.envs.toy import Toy
from pipeline.errors import InvalidInput
from pipeline.interfaces import Transition
from tests.conftest import collected, made_episode, toy_domain
from tests.pipeline.doctor.given import stored


class Generous(Toy):
    """Says that it is the toy, but rewards the second step otherwise."""

    def step(self, action: np.ndarray) -> Transition:
        transition = super().step(action)
        return replace(transition, reward=transition.reward + (self._steps == 2))


class Larger(Toy):
    def identity(self) -> Mapping[str, object]:
        return {**super().identity(), "size": 99}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(str(tmp_path_factory.mktemp("replay")))
    collected(toy_domain(), workspace, "maze", episodes=9)
    return workspace


def test_a_true_recording_is_no_finding_and_none_is_asked_for_by_default(workspace: Workspace):
    dataset = workspace.dataset("toy", "maze", "scripted-v1")
    assert list(replayed(dataset, toy_domain(), 2, workers=1)) == []
    assert list(replayed(dataset, replace(toy_domain(), environment=Larger), 0, workers=1)) == []


def test_the_first_row_that_differs_is_named(workspace: Workspace):
    domain = replace(toy_domain(), environment=partial(Generous, max_steps=60))
    (finding,) = replayed(workspace.dataset("toy", "maze", "scripted-v1"), domain, 3, workers=1)
    assert (finding.name, finding.severity, finding.count) == ("replays_differently", "error", 3)
    assert finding.examples == tuple(f"episode {number}, row 1: reward" for number in (0, 4, 8))
    assert dict(finding.numbers) == {"episodes": 3, "first_row": 1}


def test_what_cannot_be_stepped_again_is_a_note_that_says_why(workspace: Workspace, tmp_path: Path):
    dataset = workspace.dataset("toy", "maze", "scripted-v1")
    (finding,) = replayed(dataset, replace(toy_domain(), environment=Larger), 3, workers=1)
    assert (finding.name, finding.severity) == ("not_replayed", "note")
    assert "the simulator had other settings: toy/maze scripted-v1: size: 9 there, 99" in finding.what
    log = stored(Workspace(str(tmp_path)), "log-v1", [made_episode(np.random.default_rng(0), 3)])
    (finding,) = replayed(log, toy_domain(), 3, workers=1)
    assert "it was ingested, there is no simulator to ask" in finding.what


def test_fewer_than_no_episodes_are_refused():
    with pytest.raises(InvalidInput, match="stage.doctor.replay=-1"):
        OutsideChecks(("replay",), replay=-1)
