"""A real sweep of sharded ingests with one and two workers, and what the simulation says of it beforehand.

The prediction takes the unit costs as they were measured by `benchmarks.scaling.units`, of another size of checkpoint
and in other commands; nothing of the run that is checked goes into it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.scaling.costs import Costs
from benchmarks.scaling.inputs import checkpoints, played
from benchmarks.scaling.simulation import Cluster, Task, simulate
from benchmarks.scaling.units import INGEST, MILLION, seconds

FRAMES = 1_000_000
CHECKPOINTS, JOBS = 12, 6
WORKERS = (1, 2)


def predicted(costs: Costs, workers: int) -> dict[str, float]:
    """Seconds of the sweep and of the command that joins its pieces, from unit costs."""
    task = Task(costs["ingest_busy_s"] * FRAMES / MILLION)
    jobs = [[task] * (CHECKPOINTS // JOBS)] * JOBS
    here = Cluster(workers, start_s=costs["job_s"], node=2, crowded=costs["crowded"])
    pool = costs["pool_s"] if workers > 1 else 0.0
    join = costs["join_s"] * CHECKPOINTS * FRAMES / MILLION
    return {
        "sweep": costs["command_s"] + pool + simulate([jobs], here).wall_s,
        "join": costs["command_s"] + costs["job_s"] + costs["join_start_s"] + join,
    }


def really(bucket: Path, place: Path, workers: int) -> dict[str, float]:
    """Seconds of the same, run here."""
    size = CHECKPOINTS // JOBS
    shards = ",".join(f"{start}-{start + size - 1}" for start in range(0, CHECKPOINTS, size))
    words = (*INGEST, f"source.root={bucket}", "dataset=dqn-replay-v1", f"paths.root={place}")
    launcher = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}")
    return {"sweep": seconds("-m", *words, f"stage.ingest.shards={shards}", *launcher), "join": seconds(*words)}


def check(costs: Costs) -> list[dict[str, Any]]:
    """A row for each number of workers and command: predicted and measured seconds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bucket = Path(folder, "bucket")
        checkpoints(bucket, played("busy"), FRAMES, CHECKPOINTS)
        for workers in WORKERS:
            told, found = predicted(costs, workers), really(bucket, Path(folder, str(workers)), workers)
            rows += [
                {"workers": workers, "what": what, "predicted_s": round(told[what], 1), "measured_s": round(real, 1)}
                for what, real in found.items()
            ]
    return rows
