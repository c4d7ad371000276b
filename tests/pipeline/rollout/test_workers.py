"""Episodes from worker processes: the same as in this process, whoever makes them and whatever dies."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import pipeline.rollout.workers
from pipeline.dataset.spill import load_bundle
from pipeline.envs.gym.environment import Gym
from pipeline.envs.toy import Toy
from pipeline.episode import Episode
from pipeline.errors import TaskFailed
from pipeline.frames.store import load_frames, spilled_frames
from pipeline.interfaces import Observation
from pipeline.policies.random import Random
from pipeline.rollout.rollout import rollout
from pipeline.rollout.workers import EpisodeJob, WorkerPool


class Dying(Toy):
    """Ends its process in the first reset, as a crash in native code does."""

    def reset(self, seed: int) -> Observation:
        os._exit(1)


class Failing(Toy):
    """Fails in the first reset as Python code does."""

    def reset(self, seed: int) -> Observation:
        raise ValueError("the board is broken")


class Leaving(Toy):
    """Calls sys.exit in the first reset, as simulators do that are programs."""

    def reset(self, seed: int) -> Observation:
        sys.exit("no licence")


class Chatty(Toy):
    """Says what it should not, as a library does that logs its requests."""

    def reset(self, seed: int) -> Observation:
        logging.getLogger("library").error("GET /boards with token=%s", os.environ["HF_TOKEN"])
        warnings.warn(f"{os.environ['HF_TOKEN']} expires", stacklevel=1)
        return super().reset(seed)


class Deaf(Toy):
    """Catches SIGTERM, as SDL does for the libraries that draw with it."""

    def reset(self, seed: int) -> Observation:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return super().reset(seed)


class Unpicklable(Exception):
    """pickle makes an error again from its `args`, which lack what this one needs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is broken"


def no_environment() -> Toy:
    raise Unpicklable(Path("board.bin"))


def job(tmp_path: Path, **changes: object) -> EpisodeJob:
    spill = tmp_path / "spill"
    spill.mkdir(exist_ok=True)
    return replace(EpisodeJob(partial(Toy, "corner"), Random, "toy", "corner", 7, spill), **changes)


def lengths(pool: WorkerPool) -> dict[int, int]:
    """Those of all episodes that a pool makes, by their numbers."""
    return {number: length for each in pool for number, length in enumerate(each.lengths, each.first)}


def all_spilled(folder: Path) -> dict[int, Episode]:
    """Spilled episodes by their numbers."""
    files = {int(path.stem): load_bundle(path) for path in folder.iterdir()}
    return {number: each for first, bundle in files.items() for number, each in enumerate(bundle.episodes(), first)}


def test_spilled_episodes_are_those_of_this_process(tmp_path):
    work = job(tmp_path)
    with WorkerPool(work, 0, 4, workers=2) as pool:
        finished = lengths(pool)
    spilled = all_spilled(work.spill)
    assert sorted(finished) == sorted(spilled) == [0, 1, 2, 3]
    for index, episode in spilled.items():
        start = work.start(index)
        alone = rollout(Toy("corner"), Random(), start.seed, start.rng)
        assert episode.digest() == alone.digest()
        assert finished[index] == alone.length


def test_episodes_that_are_spilled_already_are_left_out(tmp_path):
    work = job(tmp_path, limit=3)
    with WorkerPool(work, 0, 2, workers=1) as pool:
        assert sorted(lengths(pool)) == [0, 1]
    with WorkerPool(work, 0, 3, workers=1) as pool:
        assert list(lengths(pool)) == [2]


def test_what_a_simulator_says_in_a_worker_goes_without_secrets(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HF_TOKEN", "plain-words-7")
    with WorkerPool(job(tmp_path, environment=partial(Chatty, "corner"), limit=1), 0, 1, workers=1) as pool:
        assert list(lengths(pool)) == [0]
    said = capfd.readouterr().err
    assert "GET /boards with token=[secret]" in said
    assert "[secret] expires" in said
    assert "plain-words-7" not in said


def test_a_spilled_episode_has_its_pictures_which_name_it(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    work = job(tmp_path, limit=3, frames=frames)
    with WorkerPool(work, 0, 1, workers=1) as pool:
        assert list(lengths(pool)) == [0]
    episode = all_spilled(work.spill)[0]
    pictures = load_frames(spilled_frames(frames, 0), episode.digest())
    assert pictures is not None
    assert len(pictures) == episode.rows


def test_a_process_that_is_killed_is_named_with_its_signal_and_the_others_are_gone(tmp_path):
    with WorkerPool(job(tmp_path, limit=3), 0, None, workers=2) as pool:
        made = iter(pool)
        next(made)
        first, second = [worker.process for worker in pool._workers]
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(TaskFailed, match=r"died without a message \(SIGKILL\)"):
            list(made)
    assert not second.is_alive()


def ended_by(pool):
    """The signal that has ended each worker, after its first episode, as the context was left."""
    with pool:
        next(iter(pool))
    return [signal.Signals(-worker.process.exitcode) for worker in pool._workers]


def test_a_worker_that_has_drawn_with_pygame_ends_when_it_is_told_to(tmp_path, monkeypatch):
    monkeypatch.delenv("SDL_NO_SIGNAL_HANDLERS")
    frames = tmp_path / "frames"
    frames.mkdir()
    cart_pole = partial(Gym, "cartpole-v1", "CartPole-v1")
    work = job(tmp_path, environment=cart_pole, limit=3, frames=frames)
    assert ended_by(WorkerPool(work, 0, None, workers=1)) == [signal.SIGTERM]


def test_a_worker_that_cannot_be_told_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline.rollout.workers, "PATIENCE", 0.1)
    work = job(tmp_path, environment=partial(Deaf, "corner"), limit=3)
    assert ended_by(WorkerPool(work, 0, None, workers=1)) == [signal.SIGKILL]


def test_a_process_that_dies_is_a_failed_task_that_says_what_to_do(tmp_path):
    work = job(tmp_path, environment=partial(Dying, "corner"))
    with (
        WorkerPool(work, 0, 1, workers=1) as pool,
        pytest.raises(TaskFailed, match="toy/corner died without a message.*run the same command again"),
    ):
        list(pool)


def test_a_simulator_that_calls_sys_exit_is_named_with_its_words(tmp_path: Path):
    work = job(tmp_path, environment=partial(Leaving, "corner"))
    with (
        WorkerPool(work, 0, 1, workers=1) as pool,
        pytest.raises(TaskFailed, match=r"toy/corner ended its process: SystemExit: no licence"),
    ):
        list(pool)


def test_an_error_arrives_with_the_seed_and_the_workers_traceback(tmp_path):
    work = job(tmp_path, environment=partial(Failing, "corner"))
    with (
        WorkerPool(work, 0, 1, workers=1) as pool,
        pytest.raises(TaskFailed, match=f"seed {work.start(0).seed}: .*the board is broken") as caught,
    ):
        list(pool)
    assert any("in reset" in note for note in caught.value.__notes__)


def test_an_error_that_cannot_travel_between_processes_arrives_as_its_text(tmp_path):
    with (
        WorkerPool(job(tmp_path, environment=no_environment), 0, 1, workers=1) as pool,
        pytest.raises(RuntimeError, match="board.bin is broken"),
    ):
        list(pool)
