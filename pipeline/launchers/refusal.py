"""What Slurm is asked before a sweep, and its answer where it does not take the jobs: its own words and what to do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from pipeline.command import Command, again, key_of, typed
from pipeline.errors import InvalidSettings
from pipeline.launchers.queue import in_words

PROGRAMS = ("sbatch", "srun", "squeue")
USUAL_ARRAY = 1001
"""Slurm's MaxArraySize, unless somebody has set it."""

NUMBERS: dict[str, tuple[str, str, tuple[type, ...]]] = {
    "cpus_per_task": ("cluster.cores", "a whole number of cores", (int,)),
    "mem": ("cluster.memory", "a number of GB", (int, float)),
    "time": ("cluster.time", "a whole number of minutes, such as 1440 for a day", (int,)),
    "max_num_timeout": ("cluster.restarts", "a whole number", (int,)),
}
"""Settings of the launcher: how the user calls them, what they must be."""


class Refused(InvalidSettings):
    """The cluster takes no job of this sweep."""

    @classmethod
    def by(cls, printed: str) -> Refused:
        """From what sbatch has printed."""
        message = f"Slurm refuses the jobs: {in_words(printed)}"
        if "partition" in printed.lower() and (there := partitions()):
            return cls(f"{message} Its partitions: {', '.join(there)}.\nOn the first of them: {_on(there[0])}")
        return cls(f"{message}\nWhat its partitions have, and for how long: sinfo --format='%P %l %c %m'")


def require_slurm() -> None:
    """Raises Refused where this machine has no Slurm."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise Refused(
                f"There is no Slurm here: {program} is not found. Type the same on a machine of the cluster.\n"
                f"On this machine: {_without_cluster()}"
            )


def check_job_numbers(settings: Mapping[str, Any]) -> None:
    """Raises Refused for settings of a job that are no such numbers as they must be."""
    for key, (name, wanted, kinds) in NUMBERS.items():
        value: Any = settings.get(key)
        if type(value) not in kinds or value < 0 or (value == 0 and key != "max_num_timeout"):
            raise Refused(f"{name}={value} must be {wanted}.")


def partitions() -> list[str]:
    """The names of the cluster's partitions; none where it does not tell."""
    done = _asked("sinfo", "--noheader", "--format=%R")
    return list(dict.fromkeys(done.split()))


def largest_array() -> int:
    """How many jobs Slurm takes in one array."""
    for line in _asked("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "MaxArraySize" and value.strip().isdigit():
            return max(1, int(value) - 1)
    return USUAL_ARRAY - 1


def _asked(*command: str) -> str:
    """What one of Slurm's commands prints; nothing where it cannot be had."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def _on(partition: str) -> str:
    return again(cluster__partition=partition)


def _without_cluster() -> str:
    """What was typed, for this machine: one job after the other."""
    ours = [key_of(word) for word in typed().words if key_of(word).split(".")[0] == "cluster"]
    return Command(settings=dict.fromkeys(ours)).line()
