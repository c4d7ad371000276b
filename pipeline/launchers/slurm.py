"""A sweep as one array of Slurm's jobs: hydra-submitit-launcher's, that goes on where a job fails or is killed.

Submitit writes what a job needs, and what it gives back, as files into the sweep's folder; Slurm's queue says whether
it is over. A job that ended without a word gets Slurm's reason written into its folder, as any other failure.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError
from submitit.slurm.slurm import SlurmExecutor

from pipeline.launchers.endings import OUT_OF_TIME, why_it_ended
from pipeline.launchers.job_numbers import check_numbers
from pipeline.launchers.jobs import Submitted, ended
from pipeline.launchers.one_job import crashed, with_number
from pipeline.launchers.outcomes import failures_in, labels_of
from pipeline.launchers.queue import JobState, shown_by
from pipeline.launchers.refusal import MEGABYTES, SLURM_NUMBERS, largest_array, refused_by_slurm, require_slurm
from pipeline.machine.interrupts import Stopped
from pipeline.wording import how_many

PROJECT = Path(__file__).parents[2]
BESIDE = "slurm"
"""The folder of a sweep that holds what submitit writes and what the jobs print."""

TIME_SIGNAL = signal.SIGUSR2
"""How submitit lets Slurm tell a job that its time ends."""

NOTICE, LONGEST_NOTICE = 6, 120
"""Seconds before its time is over that a job is told so: a tenth of its minutes, and at most two of them."""


class SlurmSweep(SlurmLauncher):  # type: ignore[misc]  # it has no types
    """Hydra's launcher for `+cluster=slurm`: its settings are those of conf/hydra/launcher/slurm.yaml."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs to the end of the last one. The folders of those that failed say so; none ends the sweep.

        Raises Refused where Slurm takes none of them.
        """
        require_slurm()
        check_numbers(self.params, SLURM_NUMBERS)
        jobs = self._submit([list(each) for each in job_overrides], initial_job_idx)
        arrays = list(dict.fromkeys(job.array for job in jobs))
        print(f"Slurm has {how_many(len(jobs), 'jobs')} of this sweep: {shown_by(arrays)}.", flush=True)
        print(f"What they print: {Path(str(self.config.hydra.sweep.dir)) / BESIDE}", flush=True)
        with _left_alone(arrays):
            for job, state in ended(jobs):
                print(f"{job.label}: {self._outcome(job, state)}", flush=True)
        return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]

    def __call__(self, *arguments: Any) -> JobReturn:
        """What one job does, on its node."""
        signal.signal(signal.SIGTERM, _stop)
        _let_time_end()
        os.register_at_fork(after_in_child=_plain_signals)
        submitit.JobEnvironment().paths.result_pickle.unlink(missing_ok=True)  # of a begin before a requeue
        try:
            result: JobReturn = super().__call__(*arguments)
        except OutOfTime:
            raise UncompletedJobError(OUT_OF_TIME) from None
        except Stopped as stopped:
            print("Stopped by the cluster. What is finished is kept.", flush=True)
            sys.exit(stopped.status)
        return result

    def _submit(self, all_overrides: list[list[str]], first: int) -> list[Submitted]:
        """Hand the jobs over in as few arrays as Slurm allows; what it refuses of the later ones is a failed job."""
        executor = self._executor()
        size, state = largest_array(), Singleton.get_state()
        labels = labels_of(all_overrides, first)
        jobs: list[Submitted] = []
        for start in range(0, len(all_overrides), size):
            part = range(start, min(start + size, len(all_overrides)))
            calls = [(all_overrides[at], "hydra.sweep.dir", first + at, f"job_{first + at}", state) for at in part]
            try:
                with redirect_stderr(StringIO()):  # what sbatch says of a refusal is in the error, too
                    handles = executor.map_array(self, *zip(*calls, strict=True))
            except (FailedJobError, FailedSubmissionError) as error:
                if not jobs:
                    raise refused_by_slurm(str(error)) from None
                for at in part:
                    self._crashed(first + at, all_overrides[at], str(refused_by_slurm(str(error))))
                continue
            jobs += [
                Submitted(first + at, all_overrides[at], labels[at], handle.job_id, handle.paths)
                for at, handle in zip(part, handles, strict=True)
            ]
        return jobs

    def _executor(self) -> SlurmExecutor:
        settings = {key: value for key, value in self.params.items() if value not in (None, "", 0)}
        executor = SlurmExecutor(settings.pop("submitit_folder"), settings.pop("max_num_timeout", 0))
        paths = shlex.quote(str(PROJECT)) + "${PYTHONPATH:+:$PYTHONPATH}"
        own = [f"export PYTHONPATH={paths}", "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"]
        settings["setup"] = [*settings.get("setup", []), *own]  # since Slurm 22.05 srun does not take it over by itself
        settings["mem"] = f"{int(settings['mem'] * MEGABYTES)}MB"
        settings["additional_parameters"] = {"requeue": True, **settings.get("additional_parameters", {})}
        notice = min(LONGEST_NOTICE, NOTICE * settings["time"])
        executor.update_parameters(stderr_to_stdout=True, signal_delay_s=notice, **settings)
        return executor

    def _outcome(self, job: Submitted, state: JobState) -> str:
        """How a job ended, in words; the reason of one that did not say it itself is written into its folder."""
        given = job.result()
        if isinstance(given, JobReturn) and given.status == JobStatus.COMPLETED:
            failures = failures_in(Path(given.hydra_cfg.hydra.runtime.output_dir)) if given.hydra_cfg else []
            return "failed: " + "; ".join(failures) if failures else "finished"
        if isinstance(given, JobReturn):
            given = given._return_value
        return "failed: " + self._crashed(job.number, job.overrides, why_it_ended(job, state, given, self.params))

    def _crashed(self, number: int, overrides: list[str], message: str) -> str:
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        return crashed(with_number(composed, number), message).message


@contextmanager
def _left_alone(arrays: list[str]) -> Iterator[None]:
    """Where this process is stopped, its jobs are not: they belong to the cluster, and say here how to end them."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"The jobs go on in Slurm: {shown_by(arrays)}.", flush=True)
        raise


class OutOfTime(Stopped):
    """The time of this job is over, and it does not begin again."""


def _let_time_end() -> None:
    """Submitit asks for another begin when Slurm tells that the time ends. What it raises for the last is no task's."""
    asks: Any = signal.getsignal(TIME_SIGNAL)

    def answer(number: int, frame: Any) -> None:
        try:
            asks(number, frame)
        except UncompletedJobError:
            raise OutOfTime(number) from None

    signal.signal(TIME_SIGNAL, answer)


def _stop(number: int, _: Any) -> None:
    """A job that is cancelled ends what it has started, and says nothing: the reason is Slurm's to tell."""
    signal.signal(number, signal.SIG_IGN)
    raise Stopped(number)


def _plain_signals() -> None:
    """In every child of a job: submitit's answers to signals are the job's own alone.

    Slurm announces the end of a job's time to each of its processes (SIGUSR2), and the job's first one alone asks for
    another begin. SIGTERM ends a child, as everywhere.
    """
    signal.signal(TIME_SIGNAL, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCONT):
        signal.signal(number, signal.SIG_DFL)
