"""A sweep as tasks of Ray, which places them on its nodes and begins those again whose process or node is lost.

It stands on Ray and Hydra alone. hydra-ray-launcher, which does the same, asks for Ray 1.12 and for a package that
Python 3.11 cannot have; it ends a sweep at the first error, and loses what the folder of the command means on a node.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pipeline.campaign.failures import plain_message
from pipeline.campaign.job import job_stopped
from pipeline.launchers.composing import ComposedOnce
from pipeline.launchers.job_numbers import check_numbers
from pipeline.launchers.one_job import crashed, folder_of, with_number
from pipeline.launchers.outcomes import failures_in, labels_of
from pipeline.launchers.ray_needs import RAY_NUMBERS, Needs
from pipeline.launchers.ray_nodes import joined
from pipeline.machine.threads import CORES
from pipeline.wording import how_many

SENT = ("REPERTOIRE_PROJECT", "REPERTOIRE_TRACEBACKS", "HYDRA_FULL_ERROR", "PYTHONWARNINGS")
"""Variables that the command has set. All others are those of the node, as they were where Ray was started."""


class RaySweep(Launcher):
    """Hydra's launcher for `+cluster=ray`: its settings are those of conf/hydra/launcher/ray.yaml."""

    def __init__(self, address: str | None, wait: bool, options: DictConfig, **settings: Any) -> None:
        self._address, self._wait, self._settings = address, wait, settings
        self._options = {str(key): value for key, value in dict(OmegaConf.to_container(options)).items()}  # type: ignore[arg-type]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._context, self._function, self._config = hydra_context, task_function, config
        self._loader = ComposedOnce.put_into(hydra_context)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs to the end of the last one. The folders of those that failed say so; none ends the sweep.

        Raises Refused where no cluster answers, and where none of its nodes is large enough for such a job.
        """
        check_numbers(self._settings, RAY_NUMBERS)
        needs = Needs.of(self._settings, self._options)
        setup_globals()
        self._loader.begin()
        Path(str(self._config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        labels, here = labels_of(job_overrides, initial_job_idx), Here.with_cores(self._settings["num_cpus"])
        jobs: dict[Any, tuple[int, bytes, str]] = {}
        with ended_with(jobs), joined(self._address, needs, self._wait) as nodes:
            print(f"Ray has {how_many(len(labels), 'jobs')} of this sweep, on {nodes.in_words()}.", flush=True)
            for number, (words, label) in enumerate(zip(job_overrides, labels, strict=True), initial_job_idx):
                pickled = self._loader.pickled(self._config, list(words))
                task = nodes.begin(run_there, label, here, number, pickled, self._context, self._function)
                jobs[task] = number, pickled, label
            for task, lost in nodes.ended(list(jobs)):
                number, pickled, label = jobs.pop(task)
                print(f"{label}: {outcome(with_number(pickle.loads(pickled), number), lost)}", flush=True)
        return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]


@contextmanager
def ended_with(jobs: Mapping[Any, tuple[int, bytes, str]]) -> Iterator[None]:
    """Where this process is stopped, Ray kills its jobs, and they can say no last word: it is said for them here."""
    try:
        yield
    except KeyboardInterrupt:
        for number, pickled, _ in jobs.values():
            job_stopped(folder_of(with_number(pickle.loads(pickled), number)))
        raise


def outcome(job: DictConfig, lost: str | None) -> str:
    """How a job ended, in words. Why it was lost, if it was, is written into its folder."""
    if lost is not None:
        return f"failed: {crashed(job, lost).message}"
    failures = failures_in(folder_of(job))
    return "failed: " + "; ".join(failures) if failures else "finished"


@dataclass(frozen=True)
class Here:
    """What a job on another node takes from the command that asked for it."""

    folder: str
    variables: dict[str, str]
    state: dict[Any, Any]

    @classmethod
    def with_cores(cls, cores: int) -> Here:
        """For jobs that have so many cores each."""
        variables = {name: os.environ[name] for name in SENT if name in os.environ}
        return cls(str(Path.cwd()), {**variables, CORES: str(cores)}, Singleton.get_state())

    def settle(self) -> None:
        """Let this process be as if it had been started by the command."""
        os.chdir(self.folder)
        os.environ.update(self.variables)
        setup_globals()
        Singleton.set_state(self.state)


def run_there(here: Here, number: int, pickled: bytes, context: HydraContext, function: TaskFunction) -> str | None:
    """What a task of Ray does: one job. Returns why it has no result, where it could not say so itself."""
    here.settle()
    job = with_number(pickle.loads(pickled), number)
    HydraConfig.instance().set_config(job)
    ended = run_job(function, job, "hydra.sweep.dir", "hydra.sweep.subdir", context)
    return None if ended.status == JobStatus.COMPLETED else plain_message(ended._return_value)
