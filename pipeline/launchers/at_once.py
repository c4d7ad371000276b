"""A sweep whose jobs run several at once on this machine, in joblib's workers, each with its share of the cores."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from omegaconf import DictConfig

from pipeline.campaign.job import job_stopped
from pipeline.launchers.composing import ComposedOnce
from pipeline.launchers.one_job import crashed, folder_of, with_number
from pipeline.machine.processes import end_with_parent
from pipeline.machine.threads import CORES, available_cores
from pipeline.machine.variables import variables_set
from pipeline.wording import how_many

log = logging.getLogger(__name__)

TRIES = 2
"""How often a job may be under way when a worker is killed, before it is taken for the cause."""

KILLED = (
    "The worker of joblib that ran it was killed, twice: often the system's answer to too little memory. What is "
    "finished is kept; the same command goes on from there. Give it more memory, or fewer jobs at once: "
    "hydra.launcher.n_jobs=N"
)


class JobsAtOnce(Launcher):
    """Hydra's launcher for `hydra/launcher=joblib`, in place of hydra-joblib-launcher's, whose settings it takes.

    `n_jobs` is how many jobs run at once: -1 is one for each core, -2 one less and so on; never more than there are.
    """

    def __init__(self, n_jobs: int = -1, **settings: Any) -> None:
        self._asked, self._tries = n_jobs, Counter[int]()
        self._settings = {**settings, "backend": "loky", "batch_size": 1, "return_as": "generator_unordered"}
        self._settings["initializer"] = end_with_parent  # without jobs, a worker would not see that the sweep is gone

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._context, self._function, self._config = hydra_context, task_function, config
        self._loader = ComposedOnce.put_into(hydra_context)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; none that fails ends the sweep, nor does a worker that is killed."""
        setup_globals()
        self._loader.begin()
        configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)
        Path(str(self._config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = dict(enumerate(map(list, job_overrides), initial_job_idx))
        at_once, cores = shares(self._asked, len(jobs), available_cores())
        ended: dict[int, JobReturn] = {}
        try:
            with variables_set({CORES: str(cores)}):
                while len(ended) < len(jobs):
                    self._run(_left(jobs, ended), at_once, ended)
        except KeyboardInterrupt:
            for _, composed in self._begun(_left(jobs, ended)):  # joblib has killed them: they could say no last word
                job_stopped(folder_of(composed))
            raise
        return [ended[number] for number in jobs]

    def _run(self, jobs: dict[int, list[str]], at_once: int, ended: dict[int, JobReturn]) -> None:
        """Run the jobs, to the end of the last one or until a worker dies; adds those that have ended."""
        state = Singleton.get_state()
        calls = (
            delayed(_job)(number, self._loader.pickled(self._config, words), self._context, self._function, state)
            for number, words in jobs.items()
        )
        try:
            for number, returned in Parallel(n_jobs=at_once, **self._settings)(calls):
                ended[number] = returned
        except TerminatedWorkerError:
            self._after_death(_left(jobs, ended), ended)

    def _begun(self, jobs: dict[int, list[str]]) -> Iterator[tuple[int, DictConfig]]:
        """The settings of those jobs that have begun: they have a folder."""
        for number, words in jobs.items():
            composed = with_number(self._loader.load_sweep_config(self._config, words), number)
            if folder_of(composed).is_dir():
                yield number, composed

    def _after_death(self, left: dict[int, list[str]], ended: dict[int, JobReturn]) -> None:
        """A worker was killed, and with it its job and the others that were under way: these begin again, once.

        Raises the error that is being handled where none was under way: no worker can live here.
        """
        under_way = 0
        for number, composed in self._begun(left):
            under_way += 1
            self._tries[number] += 1
            if self._tries[number] == TRIES:
                log.error("%s", crashed(composed, KILLED).line())
                ended[number] = JobReturn(status=JobStatus.COMPLETED)
        if not under_way:
            raise
        log.warning("A worker of joblib was killed: %s begin again.", how_many(under_way, "jobs"))


def _left(jobs: dict[int, list[str]], ended: Collection[int]) -> dict[int, list[str]]:
    """The jobs that have not ended."""
    return {number: words for number, words in jobs.items() if number not in ended}


def shares(asked: int, jobs: int, cores: int) -> tuple[int, int]:
    """How many jobs run at once, and the cores of each of them. A number below zero counts down from all cores."""
    at_once = max(1, min(asked if asked >= 0 else cores + 1 + asked, jobs))
    return at_once, max(1, cores // at_once)


def _job(
    number: int, pickled: bytes, context: HydraContext, function: TaskFunction, state: dict[Any, Any]
) -> tuple[int, JobReturn]:
    """What a worker does: one job, and whether it went to its end."""
    setup_globals()
    Singleton.set_state(state)
    composed = with_number(pickle.loads(pickled), number)
    HydraConfig.instance().set_config(composed)
    full = run_job(function, composed, "hydra.sweep.dir", "hydra.sweep.subdir", context)
    return number, JobReturn(status=full.status, _return_value=full._return_value)
