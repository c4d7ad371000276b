"""How a job of a cluster ended, in words for people."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.campaign.failures import plain_message
from pipeline.launchers.jobs import Submitted
from pipeline.launchers.queue import FORGOTTEN, JobState

ENDINGS = {
    "CANCELLED": "it was cancelled, by scancel or by the cluster",
    "TIMEOUT": "it ran longer than its time, {time} minutes; cluster.time=MINUTES gives more",
    "OUT_OF_MEMORY": "it needed more than its memory, {mem} GB; cluster.memory=GB gives more",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "PREEMPTED": "it had to make room for other jobs",
    "DEADLINE": "it could not be done by its deadline",
    "FAILED": "it ended with an error",
    "COMPLETED": "it ended without a result",
    "PENDING": "it could never run as it asks, with cluster.cores={cpus_per_task}, cluster.memory={mem}, "
    "cluster.time={time}; what the partitions have: sinfo --format='%P %l %c %m'",
}
"""Slurm's states of jobs that have ended."""

UNEXPLAINED = ("FAILED", "COMPLETED")
"""States that leave open what happened: the end of what the job printed may tell."""

OF_MEMORY = re.compile(r"^(slurmstepd|srun)\b.*(exceeded memory limit|oom[-_]kill|out of memory)", re.I)
"""What Slurm's own programs print of a kill for memory; the state of the job is then often FAILED alone."""

OUT_OF_TIME = "timed-out"
"""What submitit says of a job that is not begun again after its time."""

SHOWN_LINES = 8
OF_SUBMITIT = "submitit "


def why_it_ended(job: Submitted, state: JobState, given: Any, settings: Mapping[str, Any]) -> str:
    """Why a job has nothing to give: what it said itself, else Slurm's reason and the end of what it has printed."""
    if OUT_OF_TIME in str(given or ""):
        state, given = replace(state, name="TIMEOUT"), None
    lines = last_lines(job.log) if given is None else []
    if state.name == "FAILED" and any(map(OF_MEMORY.search, lines)):
        state = replace(state, name="OUT_OF_MEMORY")
    why = _of_slurm(state, settings) if given is None else _of_the_job(given)
    printed = f" What it printed: {job.log}" if job.log.is_file() else ""
    shown = lines if state.name in (*UNEXPLAINED, FORGOTTEN.name) else []
    return "\n".join([f"{why.rstrip('.')}.{printed}", *shown])


def _of_slurm(state: JobState, settings: Mapping[str, Any]) -> str:
    name = state.reason if state.hopeless else state.name
    where = f" on {state.nodes}" if state.nodes else ""
    return f"Slurm: {name}{where}, " + ENDINGS.get(state.name, state.reason or "it ended").format(**settings)


def _of_the_job(given: Any) -> str:
    """An error that it raised, or the text of one."""
    return plain_message(given) if isinstance(given, BaseException) else str(given).strip().splitlines()[-1]


def last_lines(log: Path) -> list[str]:
    """The end of what a job has printed, without submitit's own lines; nothing where there is no such file."""
    if not log.is_file():
        return []
    with log.open(errors="replace") as file:
        return list(deque((line.rstrip() for line in file if not line.startswith(OF_SUBMITIT)), SHOWN_LINES))
