"""What Slurm is asked before a sweep, and its answer where it does not take the jobs: its own words and what to do."""

from __future__ import annotations

import shutil
import subprocess

from pipeline.command import Command, key_of, typed
from pipeline.launchers.job_numbers import JobNumber, Refused
from pipeline.launchers.queue import in_words

NO_CONTROLLER = "could not establish a configuration source"
"""What Slurm's programs say that find neither a `slurm.conf` nor a controller."""

PROGRAMS = ("sbatch", "srun", "squeue")
USUAL_ARRAY = 1001
"""Slurm's MaxArraySize, unless somebody has set it."""

MEGABYTES = 1024
"""Of a GB: Slurm is asked for whole ones, and takes 0 for all of a node's memory."""

SLURM_NUMBERS = {
    "cpus_per_task": JobNumber("cluster.cores", "a whole number of cores, at least 1", (int,), 1),
    "mem": JobNumber("cluster.memory", "a number of GB, at least 0.001", (int, float), 1 / MEGABYTES),
    "time": JobNumber("cluster.time", "a whole number of minutes, such as 1440 for a day", (int,), 1),
    "max_num_timeout": JobNumber("cluster.restarts", "a whole number", (int,), 0),
}
"""Settings of the launcher."""


def refused_by_slurm(printed: str) -> Refused:
    """The error from what sbatch has printed."""
    if NO_CONTROLLER in printed.lower():
        return Refused(
            f"Slurm's programs are here, but they know no cluster: {in_words(printed)} Type the same on a machine of "
            f"the cluster.\nOn this machine: {_without_cluster()}"
        )
    message = f"Slurm refuses the jobs: {in_words(printed)}"
    if "partition" in printed.lower() and (there := partitions()):
        on_first = Command(settings={"cluster.partition": there[0]})
        return Refused(f"{message} Its partitions: {', '.join(there)}.", "On the first of them", on_first)
    return Refused(f"{message}\nWhat its partitions have, and for how long: sinfo --format='%P %l %c %m'")


def require_slurm() -> None:
    """Raises Refused where this machine has no Slurm."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise Refused(
                f"There is no Slurm here: {program} is not found. Type the same on a machine of the cluster.\n"
                f"On this machine: {_without_cluster()}"
            )


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


def _without_cluster() -> str:
    """What was typed, for this machine: one job after the other."""
    ours = [key_of(word) for word in typed().words if key_of(word).split(".")[0] == "cluster"]
    return Command(settings=dict.fromkeys(ours)).line()
