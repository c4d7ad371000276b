"""Pictures by replay: what goes wrong is an error that says where."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.workspace import Workspace
from pipeline.envs.toy import Toy
from pipeline.episode import Episode, with_last_row
from pipeline.errors import DigestMismatch, InvalidInput, TaskFailed
from pipeline.interfaces import Transition
from pipeline.machine.processes import spawn_context
from pipeline.rollout.audit import audit
from pipeline.rollout.replay import replay_frames
from tests.conftest import collected


@pytest.fixture(scope="module")
def episode() -> Episode:
    """Three steps of the toy's maze."""
    toy = Toy("maze")
    seen, rewards = [toy.reset(7)], []
    for move in (1, 2, 3):
        transition = toy.step(np.asarray(move))
        seen.append(transition.observation)
        rewards.append(transition.reward)
    steps = {
        "observation": np.stack(seen),
        "action": with_last_row("action", np.array([1, 2, 3])),
        "reward": with_last_row("reward", np.array(rewards, np.float64)),
        "discount": with_last_row("discount", np.ones(3)),
    }
    return Episode(steps, seed=7)


class Fatal(Toy):
    """Takes its process down, as a broken driver does."""

    def render(self) -> np.ndarray:
        os._exit(3)


class Drifting(Toy):
    """Gives other observations than the toy although it says that it is the same."""

    def step(self, action: np.ndarray) -> Transition:
        transition = super().step(action)
        return replace(transition, observation=np.asarray(transition.observation) + np.float32(0.25))


def test_a_replay_that_gives_other_observations_is_an_error(episode: Episode):
    with pytest.raises(DigestMismatch, match=r"episode 3 .* observation at row 2 .*largest difference 0\.25"):
        replay_frames(partial(Drifting, "maze"), {3: episode}, {3: [0, 2]})


def test_a_crash_of_the_renderer_is_a_failed_task(episode: Episode):
    with pytest.raises(TaskFailed, match="died without a message"):
        replay_frames(partial(Fatal, "maze"), {0: episode}, {0: [0]})


def test_an_environment_that_cannot_be_made_is_a_plain_error(episode: Episode):
    with pytest.raises(InvalidInput, match="no toy task named mase"):
        replay_frames(partial(Toy, "mase"), {0: episode}, {0: [0]})


def test_nothing_wanted_starts_no_process():
    assert replay_frames(Fatal, {}, {}) == {}  # type: ignore[arg-type]  # never called


class Watched(Toy):
    """Tells its process's number through a pipe, which closes with that process."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__("maze")
        pipe.send(os.getpid())


def audit_for_ever(artifact: Artifact, pipe: Connection) -> None:
    """A parent whose replaying workers have nothing more to do."""
    next(audit(partial(Watched, pipe), artifact, workers=1))
    time.sleep(600)


def test_workers_of_an_audit_end_where_their_parent_was_killed(toy, tmp_path):
    context = spawn_context()
    ours, theirs = context.Pipe(duplex=False)
    parent = context.Process(target=audit_for_ever, args=(collected(toy, Workspace(str(tmp_path)), episodes=1), theirs))
    parent.start()
    theirs.close()
    ours.recv()
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    assert ours.poll(20), "the worker is still there"
    with pytest.raises(EOFError):
        ours.recv()
