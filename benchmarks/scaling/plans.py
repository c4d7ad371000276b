"""Two datasets larger than these machines, as jobs of measured cost: the whole DQN Replay Dataset, and 1,000 JATs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from benchmarks.scaling.costs import Costs
from benchmarks.scaling.simulation import Cluster, Job, Outcome, Task, simulate

GB, TB, PB = 1e9, 1e12, 1e15
HOUR, DAY = 3600.0, 86_400.0
MILLION = 1_000_000

ASSUMED = Cluster(workers=1, network=1.25 * GB, disk=2 * GB, failures_per_hour=1 / 1000, pause_s=80, node=2)
"""What is assumed, not measured: 10 Gbit/s from outside, a shared disk of 2 GB/s, and a worker that is lost once in
1,000 hours, whose job goes on 80 s later (a lease is taken over after a minute without its heartbeat)."""

GAMES, RUNS, CHECKPOINTS, CHECKPOINT = 60, 5, 50, MILLION
FRAME = 84 * 84
SHARDED_FROM = GAMES * RUNS
"""With fewer workers than datasets each dataset is one job; with as many or more, its checkpoints are shared out."""

DQN_WORKERS = (1, 2, 16, 100, 300, 1000, 3000)
JAT_WORKERS = (1, 16, 157, 1000, 4000)
TIMES = 1000
PIECE_HOURS = 20
"""Longest piece of JAT's plan, which a failure repeats. Real ones are shorter: failures cost less than is shown."""


def cluster(costs: Costs, workers: int, crowded: float) -> Cluster:
    """So many workers of this machine's kind."""
    return replace(ASSUMED, workers=workers, start_s=costs["command_s"] + costs["job_s"], crowded=crowded)


def dqn_phases(costs: Costs, workers: int) -> list[list[Job]]:
    """Ingest of all checkpoints, half of them of busy games, and the joining of their pieces where there are any.

    A checkpoint is downloaded to the shared disk, read from there and stored there.
    """
    datasets: list[list[Task]] = []
    for number in range(GAMES * RUNS):
        game = ("busy", "still")[number % 2]
        packed, stored = (costs[f"{kind}_{game}_bytes"] * CHECKPOINT for kind in ("packed", "stored"))
        task = Task(costs[f"ingest_{game}_s"], read=packed, disk=2 * packed + stored)
        datasets.append([task] * CHECKPOINTS)
    if workers < SHARDED_FROM:
        return [list(datasets)]
    size = max(1, min(CHECKPOINTS, GAMES * RUNS * CHECKPOINTS // (4 * workers)))
    pieces = [each[start : start + size] for each in datasets for start in range(0, CHECKPOINTS, size)]
    return [pieces, [[_join(costs, number)] for number in range(GAMES * RUNS)]]


def _join(costs: Costs, number: int) -> Task:
    stored = costs[f"stored_{('busy', 'still')[number % 2]}_bytes"]
    return Task(costs["join_start_s"] + costs["join_s"] * CHECKPOINTS, disk=stored * CHECKPOINT * CHECKPOINTS)


def dqn_outcome(costs: Costs, workers: int) -> Outcome:
    """The whole DQN Replay Dataset with so many workers."""
    return simulate(dqn_phases(costs, workers), cluster(costs, workers, costs["crowded"]))


def dqn_sizes(costs: Costs) -> dict[str, float]:
    """Bytes of the whole: decompressed, as it is downloaded, as it is stored here."""
    steps = GAMES * RUNS * CHECKPOINTS * CHECKPOINT
    packed, stored = (
        sum(costs[f"{kind}_{game}_bytes"] for game in ("busy", "still")) / 2 for kind in ("packed", "stored")
    )
    return {"frames, decompressed": float(steps * FRAME), "downloaded": steps * packed, "stored": steps * stored}


@dataclass(frozen=True)
class Part:
    """One domain of JAT: tasks, steps of all of them, numbers of a state, states in the pool of a query.

    steps are JAT's own, from its published counts; Atari's and BabyAI's are rounded, MuJoCo's are at most so many.
    """

    domain: str
    tasks: int
    steps: float
    width: int
    pool: float

    @property
    def screens(self) -> bool:
        return self.domain == "atari"


JAT = (
    Part("metaworld", 50, 80.0e6, 39, 10_000),
    Part("mujoco", 11, 82.35e6, 39, 100_000),
    Part("babyai", 39, 110.0e6, 212, 600),
    Part("atari", 57, 24.5e6, 512, 1_000),
)


@dataclass(frozen=True)
class JatCosts:
    """What 1,000 times one domain of JAT takes, if each state asks a pool that is `pools` times as large as today's.

    Vectors of other lengths than 39 are counted by their numbers.
    """

    part: Part
    costs: Costs
    pools: float = 1.0

    @property
    def steps(self) -> float:
        return self.part.steps * TIMES

    @property
    def numbers(self) -> float:
        """Of a state, in vectors of 39."""
        return 1.0 if self.part.screens else self.part.width / 39

    @cached_property
    def stages(self) -> dict[str, Task]:
        """All of a stage as one task."""
        kind = "screen" if self.part.screens else "vector"
        width = 512 if self.part.screens else 39
        stored = self.costs["stored_busy_bytes"] if self.part.screens else self.costs["stored_vector_bytes"]
        stored *= self.steps * self.numbers
        made = self.costs[f"made_{width}_bytes"] * self.steps * self.numbers
        per_query = self.costs[f"query_{width}_s"] + self.costs[f"pair_{width}_s"] * self.numbers * self.pool
        packed = self.costs[f"jat_{kind}_bytes"] * self.steps * self.numbers
        return {
            "ingest": Task(
                self.costs[f"jat_{kind}_s"] * self.steps * self.numbers, read=packed, disk=2 * packed + stored
            ),
            **({"embeddings": Task(self.costs["embed_s"] * self.steps, disk=stored)} if self.part.screens else {}),
            "retrieval": Task(per_query * self.steps, disk=stored),
            "distances, bins, parquet": Task(
                self.costs[f"rest_{width}_s"] * self.steps * self.numbers, disk=stored + made
            ),
            "export": Task(self.costs[f"export_{kind}_s"] * self.steps * self.numbers, disk=2 * stored),
        }

    @property
    def pool(self) -> float:
        return self.part.pool * self.pools


def jat_phases(costs: Costs, workers: int, divided: bool) -> list[list[Job]]:
    """Ingest, embeddings, and all stages after them.

    divided: each task as 1,000 datasets of today's size, each a job; else as one dataset, whose embeddings alone can be
    shared out.
    """
    parts = [JatCosts(part, costs) for part in JAT]
    phases: list[list[Job]] = []
    for stages in (("ingest",), ("embeddings",), ("retrieval", "distances, bins, parquet", "export")):
        jobs: list[Job] = []
        chosen = [(each, [each.stages[name] for name in stages if name in each.stages]) for each in parts]
        total = sum(task.core_s for _, tasks in chosen for task in tasks)
        for each, tasks in chosen:
            for task in tasks:
                pieces = max(
                    each.part.tasks, math.ceil(max(total / HOUR / PIECE_HOURS, 4 * workers) * task.core_s / total)
                )
                shared = divided or stages == ("embeddings",)
                jobs += _jobs(task, pieces, pieces if shared else each.part.tasks)
        phases.append(jobs)
    return phases


def _jobs(whole: Task, pieces: int, jobs: int) -> Iterator[list[Task]]:
    """A task in equal pieces, dealt out to jobs as evenly as can be."""
    piece = Task(whole.core_s / pieces, whole.read / pieces, whole.disk / pieces)
    for number in range(jobs):
        yield [piece] * (pieces * (number + 1) // jobs - pieces * number // jobs)


def jat_outcome(costs: Costs, workers: int, divided: bool) -> Outcome:
    """1,000 times JAT with so many workers, which slow each other down as networks do: most of it is one."""
    return simulate(jat_phases(costs, workers, divided), cluster(costs, workers, max(1.0, costs["crowded_network"])))


def core_hours(parts: Sequence[JatCosts], stage: str) -> float:
    """Of a stage, all domains together."""
    return sum(each.stages[stage].core_s for each in parts if stage in each.stages) / HOUR


def saturated(costs: Costs) -> list[tuple[str, float, float, float]]:
    """Of the DQN plan: what is shared, bytes/s that a core at work wants and that there are, cores that take it all."""
    task_s = sum(costs[f"ingest_{game}_s"] for game in ("busy", "still")) * costs["crowded"]
    packed, stored = (
        sum(costs[f"{kind}_{game}_bytes"] for game in ("busy", "still")) * CHECKPOINT for kind in ("packed", "stored")
    )
    wanted = {"network": packed / task_s, "shared disk": (2 * packed + stored) / task_s}
    given = {"network": ASSUMED.network, "shared disk": ASSUMED.disk}
    return [(name, each, given[name], given[name] / each) for name, each in wanted.items()]
