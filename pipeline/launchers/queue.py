"""What Slurm says of jobs: which wait, which run, how the others ended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.errors import PipelineError

LIVE = (
    *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
)
"""States of jobs that have not ended."""

USUAL = ("None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Prolog", "Cleaning")
"""Reasons for which a job waits that pass by themselves."""

FIELDS = {"JobArrayID": 32, "State": 24, "Reason": 64, "NodeList": 64}
"""What is asked of each job, and how wide a column it gets."""

NEVER = ("PartitionConfig", "PartitionTimeLimit", "PartitionNodeLimit", "BadConstraints", "AccountNotAllowed")
"""Reasons for which a job waits for ever, for no machine of the cluster is as it asks."""


class NoAnswer(PipelineError):
    """Slurm cannot be asked at this moment; the message is its own."""


@dataclass(frozen=True)
class JobState:
    """How it stands with one job.

    Attributes:
        name: Slurm's word, such as RUNNING or TIMEOUT.
        reason: why it waits, or ended; empty where Slurm gives none.
        nodes: where it runs or ran.
    """

    name: str
    reason: str = ""
    nodes: str = ""

    @property
    def ended(self) -> bool:
        """Whether the job is over: it does not run, nor will it."""
        return self.name not in LIVE

    @property
    def hopeless(self) -> bool:
        """Whether it waits for what the cluster does not have."""
        return self.name == "PENDING" and self.reason in NEVER

    @property
    def obstacle(self) -> str:
        """Why it waits, where that does not pass by itself, as a limit that it is above."""
        waits = self.name in ("PENDING", "REQUEUE_HOLD") and self.reason not in (*USUAL, *NEVER)
        return self.reason if waits else ""


FORGOTTEN = JobState("unknown", "Slurm has forgotten it")


def states_of(arrays: Iterable[str]) -> dict[str, JobState]:
    """The jobs of some arrays by their numbers, such as `12_3`; those that Slurm has forgotten are not in it.

    Raises NoAnswer where Slurm does not answer.
    """
    columns = ",".join(f"{name}:{width}" for name, width in FIELDS.items())
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(arrays)}", f"--Format={columns}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "Invalid job id" not in done.stderr:
        raise NoAnswer(in_words(done.stderr))
    return dict(map(_read, done.stdout.splitlines()))


def _read(line: str) -> tuple[str, JobState]:
    texts, start = [], 0
    for width in FIELDS.values():
        texts.append(line[start : start + width].strip())
        start += width
    number, name, reason, nodes = texts
    return number, JobState(name, "" if reason == "None" else reason, nodes)


def in_words(printed: str) -> str:
    """What one of Slurm's commands has printed as an error, as one sentence or several."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    texts = [line.partition("error: ")[2] or line for line in lines]
    return ". ".join(text.rstrip(".") for text in dict.fromkeys(texts)) + "."


def cancel(job: str) -> None:
    """End a job; nothing where it has ended."""
    subprocess.run(["scancel", job], capture_output=True, check=False)


def shown_by(arrays: Iterable[str]) -> str:
    """The commands that show jobs and that end them."""
    names = list(arrays)
    return f"`squeue --jobs={','.join(names)}` shows them, `scancel {' '.join(names)}` ends them"
