"""Episodes from worker processes: simulators crash and leak in there, never here."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path

from pipeline.command import Typed, typed, user_typed
from pipeline.dataset.spill import spilled_episodes
from pipeline.errors import TaskFailed
from pipeline.frames.encoder import PictureEncoder
from pipeline.frames.store import EpisodeFrames, save_frames, spilled_frames
from pipeline.interfaces import Environment, Policy
from pipeline.machine.outlets import keep_secrets_out
from pipeline.machine.processes import portable, spawn_context
from pipeline.machine.threads import one_core_each
from pipeline.rollout.claims import Claims
from pipeline.rollout.held import Finished, Held
from pipeline.rollout.rollout import Played, Start, play
from pipeline.seeding import episode_rng, episode_seed
from pipeline.wording import error_text

PATIENCE = 5.0
"""Seconds in which a worker that was told to end does so, before it is killed."""


@dataclass(frozen=True)
class EpisodeJob:
    """How to make episode `index` of one task, in any process, in any order: only the seed and the index matter.

    Attributes:
        spill: where finished episodes go.
        limit: decisions after which an episode is cut off.
        frames: where the pictures of finished episodes go; None draws none.
    """

    environment: Callable[[], Environment]
    policy: Callable[[], Policy]
    domain: str
    task: str
    seed: int
    spill: Path
    limit: int | None = None
    frames: Path | None = None

    def start(self, index: int) -> Start:
        """The beginning of one episode."""
        seed = episode_seed(self.seed, self.domain, self.task, index)
        return Start(index, seed, episode_rng(self.seed, self.domain, self.task, index))


class WorkerPool:
    """Worker processes that make the episodes from `first` on, up to `end` or without end; a context manager.

    Iterating gives episodes as they are spilled, in any order; those that are spilled already are left out. Every
    process plays as many episodes side by side as the policy likes, and takes the next one as soon as one ends.
    Leaving the context stops the processes; what was spilled stays.

    Raises TaskFailed when a simulator or a worker process fails.
    """

    def __init__(self, job: EpisodeJob, first: int, end: int | None, workers: int) -> None:
        self._job = job
        context = spawn_context()
        spilled = spilled_episodes(job.spill)
        missing = None if end is None else end - first - sum(first <= number < end for number in spilled)
        if missing is not None:
            workers = max(1, min(workers, missing))
        self._claims = Claims(context, first, end, spilled, workers)
        share = None if missing is None else max(1, -(-missing // workers))
        self._workers = [_Worker.create(context, job, self._claims, share) for _ in range(workers)]

    def __enter__(self) -> WorkerPool:
        with one_core_each():
            for worker in self._workers:
                worker.process.start()
                worker.theirs.close()  # so that the end of the process is the end of the pipe
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(PATIENCE)
            worker.process.kill()  # where the simulator's library has caught SIGTERM, and goes on
            worker.process.join()
            worker.ours.close()

    def __iter__(self) -> Iterator[Finished]:
        at_work = [worker.ours for worker in self._workers]
        while at_work:
            for pipe in wait(at_work):
                assert isinstance(pipe, Connection)
                try:
                    message = pipe.recv()
                except (EOFError, ConnectionResetError):
                    raise TaskFailed(
                        f"A worker process of {self._job.domain}/{self._job.task} died without a message"
                        f"{self._signal(pipe)}: the simulator crashed, or the system stopped it (often for memory). "
                        f"Finished episodes are kept; run the same command again, with fewer workers= if memory is "
                        f"short."
                    ) from None
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    at_work.remove(pipe)
                else:
                    yield message

    def _signal(self, pipe: Connection) -> str:
        """` (SIGKILL)`: what ended the process at the other end of a pipe; empty where it ended by itself."""
        process = next(worker.process for worker in self._workers if worker.ours is pipe)
        process.join(1)  # the pipe closes a moment before the process is gone
        status = process.exitcode or 0
        return f" ({signal.Signals(-status).name})" if status < 0 else ""

    def packed(self, count: int) -> None:
        """Tell the workers that the first `count` episodes are packed: they never run far ahead of that."""
        self._claims.packed(count)


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    ours: Connection
    theirs: Connection

    @staticmethod
    def create(context: SpawnContext, job: EpisodeJob, claims: Claims, share: int | None) -> _Worker:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(job, claims, share, theirs, typed()), daemon=True)
        return _Worker(process, ours, theirs)


def _work(job: EpisodeJob, claims: Claims, share: int | None, pipe: Connection, words: Typed) -> None:
    """Runs in the worker: sends a Finished for the episodes of every spilled file, then None; or what stopped it.

    `words` were typed; errors suggest commands that hold them.
    """
    keep_secrets_out()
    with user_typed(words):
        _play(job, claims, share, pipe)


def _play(job: EpisodeJob, claims: Claims, share: int | None, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    held = Held(job.spill, pipe.send)
    try:
        policy = job.policy()
        slots = policy.slots if share is None else min(policy.slots, share)
        environments = [job.environment() for _ in range(slots)]
        watch = None if job.frames is None else PictureEncoder()
        for played in play(environments, policy, claims.starts(job.start, held.let_go), job.limit, watch, plain=True):
            if job.frames is not None:
                _save_pictures(job.frames, played)
            held.add(played)
        held.let_go()
        pipe.send(None)
    except BrokenPipeError:
        return  # the parent is gone; what was spilled stays for the next run
    except BaseException as error:  # the parent receives it, and raises it; a simulator may call sys.exit
        with suppress(OSError):  # a full disk, which is the error itself, or the parent is gone
            held.let_go()
        pipe.send(portable(error if isinstance(error, Exception) else _ended_by(error, job)))


def _ended_by(error: BaseException, job: EpisodeJob) -> TaskFailed:
    """For `sys.exit()`, and what else is no Exception: the code of others has raised it, for nobody here does."""
    failed = TaskFailed(
        f"The simulator or the policy of {job.domain}/{job.task} ended its process: {error_text(error)}. Finished "
        f"episodes are kept."
    )
    failed.__cause__ = error
    return failed


def _save_pictures(folder: Path, played: Played) -> None:
    """Before the episode is spilled: a spilled episode has its pictures."""
    frames = EpisodeFrames.of(played.pictures)
    save_frames(spilled_frames(folder, played.index), frames, played.episode.digest())
