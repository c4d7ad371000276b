"""Jobs on many workers that share a network and a disk and fail now and then: a discrete-event simulation.

A worker is one core. It takes the next job, starts a process for it, and does its tasks one after the other. A task
computes, reads from the network and uses the shared disk at the same time, in proportion, so it lasts as long as the
slowest of the three. Where all want more than a network or disk gives, all that use it slow down by the same factor.

What a failure costs: the task that was under way is done again from its beginning, after a pause and a new start of the
process. Finished tasks of the job are kept.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

SHARES = ("cores", "network", "disk", "start", "failures", "idle")
"""What a worker's time goes into: computing, waiting for either resource, starts, pauses after failures, no work."""

INFINITE = float("inf")
SAME_TIME = 1e-9
"""Relative; events closer than this happen at once."""


@dataclass(frozen=True)
class Task:
    """What is done again as a whole after a failure: seconds of a core, bytes from the network, bytes of the disk."""

    core_s: float
    read: float = 0.0
    disk: float = 0.0

    def __post_init__(self) -> None:
        if not self.core_s > 0 or self.read < 0 or self.disk < 0:
            raise ValueError(f"A task takes more than no time and no negative bytes, not {self}.")


@dataclass(frozen=True)
class Cluster:
    """Workers of one core each, and what they share.

    start_s: before the first task of a job. network, disk: bytes per second of all workers together.
    failures_per_hour: of one worker that is at work. pause_s: until its job begins again.
    node: workers of one machine. crowded: seconds of a task when all workers of its machine are at work, over its
    seconds when it is alone there; with fewer at work, in proportion.
    """

    workers: int
    start_s: float = 0.0
    network: float = INFINITE
    disk: float = INFINITE
    failures_per_hour: float = 0.0
    pause_s: float = 0.0
    node: int = 1
    crowded: float = 1.0


@dataclass
class Outcome:
    """Seconds of the clock, worker-seconds by what they went into, bytes moved, failures, worker-seconds done twice.

    Bytes and worker-seconds of work that was lost count in `moved` and `spent`, too; `repeated_s` says how much it was.
    """

    wall_s: float = 0.0
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SHARES, 0.0))
    read: float = 0.0
    disk: float = 0.0
    failures: int = 0
    repeated_s: float = 0.0

    @property
    def bottleneck(self) -> str:
        """What most of the workers' time went into."""
        return max(SHARES, key=lambda name: self.spent[name])

    def share(self, name: str) -> float:
        """The part of all worker-seconds that went into one of SHARES."""
        return self.spent[name] / (sum(self.spent.values()) or 1.0)


Job = Sequence[Task]


def simulate(phases: Sequence[Sequence[Job]], cluster: Cluster, seed: int = 0) -> Outcome:
    """The phases one after the other, each begun when all jobs of the one before are done."""
    rng, outcome = np.random.default_rng(seed), Outcome()
    for jobs in phases:
        _Phase(jobs, cluster, rng, outcome).run()
    return outcome


IDLE, WORK, START, PAUSE = range(4)
NAMES = {WORK: "cores", START: "start", PAUSE: "failures"}


class _Phase:
    """The state of all workers, as arrays by worker: what each is at, and how much of it is left (1 to 0)."""

    def __init__(self, jobs: Sequence[Job], cluster: Cluster, rng: np.random.Generator, outcome: Outcome) -> None:
        self.cluster, self.rng, self.outcome = cluster, rng, outcome
        self.waiting = deque(deque(job) for job in jobs if job)
        count = min(cluster.workers, len(self.waiting))
        self.jobs: list[deque[Task] | None] = [None] * count
        self.kind = np.zeros(count, np.int8)
        self.left, self.began = np.ones(count), np.zeros(count)
        self.alone, self.read, self.disk = np.zeros(count), np.zeros(count), np.zeros(count)
        self.nodes = np.arange(count) // cluster.node
        self.now = 0.0
        self.failures: list[tuple[float, int]] = []
        self.due = np.full(count, INFINITE)
        self.slowed: dict[str, np.ndarray] = {}

    def run(self) -> None:
        for worker in range(len(self.jobs)):
            self._next_job(worker)
        while self.alone.any():
            self._advance()
        self.outcome.wall_s += self.now
        self.outcome.spent["idle"] += self.now * (self.cluster.workers - len(self.jobs))

    def _advance(self) -> None:
        """On to the next event: something is finished, or fails."""
        speed = self._speed()
        factor = self._slowing(speed)
        rate = speed * factor
        with np.errstate(divide="ignore"):
            ends = self.left / rate
        while self.failures and self.failures[0][0] != self.due[self.failures[0][1]]:
            heapq.heappop(self.failures)  # of a worker that has no more work
        failure = self.failures[0][0] if self.failures else INFINITE
        step = min(float(ends.min()), failure - self.now)
        self._account(step, factor, rate)
        self.left -= rate * step
        self.now = min(self.now + step, failure)
        if failure <= self.now:
            self._fail(heapq.heappop(self.failures)[1])
            return
        for worker in np.flatnonzero(ends <= step * (1 + SAME_TIME)):
            self._finish(int(worker))

    def _speed(self) -> np.ndarray:
        """Tasks a second of each worker, slowed by those on the same machine, but not by what all share."""
        if self.cluster.node == 1 or self.cluster.crowded == 1:
            return self.alone
        busy = self.alone > 0
        others = np.bincount(self.nodes, weights=busy)[self.nodes] - busy
        return self.alone / (1 + (self.cluster.crowded - 1) * others / (self.cluster.node - 1))

    def _slowing(self, speed: np.ndarray) -> np.ndarray:
        """By which factor each is slowed by what all share; remembers who is slowed by which."""
        factor, self.slowed = np.ones(len(speed)), {}
        for name, wanted, given in (
            ("network", self.read, self.cluster.network),
            ("disk", self.disk, self.cluster.disk),
        ):
            demand = float(speed @ wanted)
            if demand > given:
                slowed = (wanted > 0) & (given / demand < factor)
                factor[slowed] = given / demand
                self.slowed = {each: here & ~slowed for each, here in self.slowed.items()} | {name: slowed}
        return factor

    def _account(self, step: float, factor: np.ndarray, rate: np.ndarray) -> None:
        spent = self.outcome.spent
        busy = np.where(self.alone > 0, factor, 0.0)
        for name, slowed in self.slowed.items():
            spent[name] += step * float((1 - factor[slowed & (self.alone > 0)]).sum())
        for kind, seconds in enumerate(np.bincount(self.kind, weights=busy, minlength=4)[1:], WORK):
            spent[NAMES[kind]] += step * float(seconds)
        spent["idle"] += step * int((self.alone == 0).sum())
        self.outcome.read += step * float(rate @ self.read)
        self.outcome.disk += step * float(rate @ self.disk)

    def _finish(self, worker: int) -> None:
        if self.kind[worker] == PAUSE:
            self._begin(worker, START, Task(self.cluster.start_s or SAME_TIME))
            return
        job = self.jobs[worker]
        assert job is not None
        if self.kind[worker] == WORK:
            job.popleft()
        if job:
            self._begin(worker, WORK, job[0])
        else:
            self._next_job(worker)

    def _next_job(self, worker: int) -> None:
        if not self.waiting:
            self.alone[worker], self.left[worker], self.kind[worker] = 0.0, 1.0, IDLE
            self.due[worker] = INFINITE
            return
        if self.jobs[worker] is None and self.cluster.failures_per_hour:
            self._draw_failure(worker)
        job = self.jobs[worker] = self.waiting.popleft()
        if self.cluster.start_s:
            self._begin(worker, START, Task(self.cluster.start_s))
        else:
            self._begin(worker, WORK, job[0])

    def _begin(self, worker: int, kind: int, task: Task) -> None:
        self.kind[worker], self.left[worker], self.began[worker] = kind, 1.0, self.now
        self.alone[worker], self.read[worker], self.disk[worker] = 1 / task.core_s, task.read, task.disk

    def _fail(self, worker: int) -> None:
        self.outcome.failures += 1
        if self.kind[worker] != PAUSE:
            self.outcome.repeated_s += self.now - self.began[worker]
        self._draw_failure(worker)
        self._begin(worker, PAUSE, Task(self.cluster.pause_s or SAME_TIME))

    def _draw_failure(self, worker: int) -> None:
        self.due[worker] = self.now + self.rng.exponential(3600 / self.cluster.failures_per_hour)
        heapq.heappush(self.failures, (float(self.due[worker]), worker))
