"""Episodes from worker processes: simulators crash and leak in there, never here."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.errors import TaskFailed
from pipeline.interfaces import Environment, Policy
from pipeline.processes import spawn_context
from pipeline.recorder import save_episode, spill_path
from pipeline.rollout import rollout
from pipeline.seeding import episode_rng, episode_seed

CHUNK = 4
"""Episodes that are handed to a worker together; spares short episodes the round trip."""

NATIVE_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class EpisodeJob:
    """How to make episode `index` of one task, in any process, in any order: only the seed and the index matter."""

    environment: Callable[[], Environment]
    policy: Callable[[], Policy]
    domain: str
    task: str
    seed: int
    spill: Path


@dataclass(frozen=True)
class Finished:
    """An episode that has been spilled."""

    index: int
    length: int


def collect_episodes(job: EpisodeJob, indices: Iterable[int], workers: int) -> Generator[Finished, None, None]:
    """Make and spill the episodes of `indices`; yields each as it finishes, in any order.

    Only a few chunks are under way at once, so `indices` may be endless: stop by closing the generator.
    Raises TaskFailed when a simulator or a worker process fails; what was spilled stays.
    """
    waiting = iter(indices)
    with (
        _one_native_thread(),
        ProcessPoolExecutor(workers, mp_context=spawn_context(), initializer=_start, initargs=(job,)) as pool,
    ):
        running: set[Future[list[Finished]]] = set()
        try:
            while True:
                while len(running) < 2 * workers and (chunk := _take(waiting, CHUNK)):
                    running.add(pool.submit(_episodes, chunk))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        except BrokenProcessPool as error:
            raise TaskFailed(
                f"A worker process of {job.domain}/{job.task} died without a message: the simulator crashed, or the "
                f"system stopped it (often for memory). Finished episodes are kept; run the same command again, with "
                f"fewer workers= if memory is short."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_job: EpisodeJob


def _start(job: EpisodeJob) -> None:
    """Runs once in each worker. Builds nothing: an error in here would only be told as a dead process."""
    global _job
    _job = job


@cache
def _parts() -> tuple[Environment, Policy]:
    """The worker's simulator and policy; they live as long as the worker."""
    return _job.environment(), _job.policy()


def _episodes(indices: list[int]) -> list[Finished]:
    environment, policy = _parts()
    finished = []
    for index in indices:
        seed = episode_seed(_job.seed, _job.domain, _job.task, index)
        rng = episode_rng(_job.seed, _job.domain, _job.task, index)
        episode = rollout(environment, policy, seed, rng)
        save_episode(spill_path(_job.spill, index), episode)
        finished.append(Finished(index, episode.length))
    return finished


def _take(waiting: Iterator[int], count: int) -> list[int]:
    return [index for _, index in zip(range(count), waiting, strict=False)]


@contextmanager
def _one_native_thread() -> Iterator[None]:
    """Workers inherit the environment; a BLAS pool in each of them would fight over the cores."""
    before = {name: os.environ.get(name) for name in NATIVE_THREADS}
    os.environ.update(dict.fromkeys(NATIVE_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
