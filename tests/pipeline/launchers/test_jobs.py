"""Jobs as they end, and why."""

import pickle
import threading

import pytest
from submitit.core.utils import JobPaths

import run
from pipeline.campaign.failures import FAILED
from pipeline.campaign.record import record_crash
from pipeline.errors import InvalidInput
from pipeline.launchers import jobs
from pipeline.launchers.endings import why_it_ended
from pipeline.launchers.jobs import Submitted, ended
from pipeline.launchers.outcomes import failures_in, labels_of
from pipeline.launchers.queue import FORGOTTEN, JobState
from tests.pipeline.launchers.programs import put
from tests.pipeline.launchers.test_queue import row

SETTINGS = {"time": 30, "mem": 2, "cpus_per_task": 4}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(jobs, "PAUSE", (0.0, 0.0))
    monkeypatch.setattr(jobs, "GRACE", 0.0)


def job(folder, number, result=None, log=None):
    paths = JobPaths(folder / "%j", f"7_{number}")
    paths.folder.mkdir(parents=True)
    if result is not None:
        paths.result_pickle.write_bytes(pickle.dumps(("", result)))
    if log is not None:
        paths.stdout.write_text(log)
    return Submitted(number, [], f"#{number}", f"7_{number}", paths)


def test_the_label_of_a_job_is_what_the_others_do_not_have():
    assert labels_of([["a=1", "task=x"], ["a=1", "task=y"]], first=3) == ["#3 task=x", "#4 task=y"]
    assert labels_of([["a=1"]], first=0) == ["#0"]


def test_each_job_comes_once_as_it_ends_and_one_that_can_never_run_is_taken_back(tmp_path, monkeypatch, quick, capsys):
    first = [
        row("7_0", "RUNNING", "None", "n"), row("7_1", "PENDING", "PartitionTimeLimit", ""),
        row("7_2", "PENDING", "JobHeldUser", ""),
    ]  # fmt: skip
    then = [row("7_0", "COMPLETED", "None", "n"), row("7_2", "CANCELLED", "None", "n")]
    again = "if [ -e $0.seen ]; then cat <<END\n{}\nEND\nelse touch $0.seen; cat <<END\n{}\nEND\nfi"
    squeue = again.format("\n".join(then), "\n".join(first))
    programs = put(tmp_path, monkeypatch, squeue=squeue, scancel="echo $1 >> $0.told")
    found = {each.number: state.name for each, state in ended([job(tmp_path, n, n or None) for n in (0, 1, 2)])}
    assert found == {0: "COMPLETED", 1: "PENDING", 2: "CANCELLED"}
    assert (programs / "scancel.told").read_text() == "7_1\n"
    assert capsys.readouterr().out == "Slurm lets jobs wait (1): JobHeldUser\n"


def test_a_slurm_that_does_not_answer_is_waited_for_and_said_once(tmp_path, monkeypatch, quick, capsys):
    away = "echo 'error: Unable to contact slurm controller' >&2; exit 1"
    count = "echo x >> $0.asked; if [ $(wc -l < $0.asked) -lt 4 ]; then"
    put(tmp_path, monkeypatch, squeue=f"{count} {away}; fi; echo '{row('7_0', 'COMPLETED', 'None', 'n')}'")
    assert [each.number for each, _ in ended([job(tmp_path, 0, "given")])] == [0]
    said = capsys.readouterr().out
    assert said == "Slurm does not answer, this command waits: Unable to contact slurm controller.\n"


@pytest.mark.parametrize(
    ("state", "said", "words"),
    [
        (JobState("CANCELLED", "", "n1"), None, "Slurm: CANCELLED on n1, it was cancelled, by scancel"),
        (JobState("OUT_OF_MEMORY"), None, "it needed more than its memory, 2 GB; cluster.memory=GB gives more"),
        (JobState("TIMEOUT", "TimeLimit"), None, "it ran longer than its time, 30 minutes; cluster.time=MINUTES"),
        (JobState("COMPLETED"), "Trace\nJob not requeued because: timed-out too many times.", "Slurm: TIMEOUT"),
        (JobState("FAILED"), "Traceback\n  ...\nImportError: no thing", "ImportError: no thing"),
        (JobState("COMPLETED"), InvalidInput("It is odd."), "It is odd."),
        (FORGOTTEN, None, "Slurm: unknown, Slurm has forgotten it"),
        (JobState("PENDING", "PartitionConfig"), None, "Slurm: PartitionConfig, it could never run as it asks"),
    ],
)
def test_why_a_job_gave_nothing_is_its_own_word_or_slurms(tmp_path, state, said, words):
    assert words in why_it_ended(job(tmp_path, 0), state, said, SETTINGS)


def test_the_end_of_what_a_killed_job_printed_is_told_with_its_place(tmp_path):
    log = "".join(f"line {number}\n" for number in range(20)) + "submitit INFO - x\nsrun: error: task 0: Killed\n"
    killed = job(tmp_path, 0, log=log)
    first, *lines = why_it_ended(killed, JobState("FAILED"), None, SETTINGS).splitlines()
    assert first.endswith(f"What it printed: {killed.log}")
    assert lines == [*(f"line {number}" for number in range(13, 20)), "srun: error: task 0: Killed"]


@pytest.mark.parametrize(
    "line",
    [
        "slurmstepd-vm: error: StepId=2.0 exceeded memory limit (233701376 > 213909504), being killed",
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.0. Some of your processes may have been killed",
        "srun: error: node7: task 0: Out Of Memory",
    ],
)
def test_a_job_that_was_killed_for_memory_is_named_so_where_its_state_does_not(tmp_path, line):
    why = why_it_ended(job(tmp_path, 0, log=f"{line}\nsrun: x\n"), JobState("FAILED"), None, SETTINGS)
    assert why.startswith("Slurm: OUT_OF_MEMORY, it needed more than its memory, 2 GB; cluster.memory=GB gives more.")


def test_what_a_job_has_written_down_itself_is_read_from_its_folder(tmp_path):
    assert failures_in(tmp_path) == []
    record_crash(tmp_path, "collect", "toy/corner", "It is odd.")
    record_crash(tmp_path, "collect", "toy/maze", "It is odd.")
    assert (tmp_path / FAILED).is_file()
    assert failures_in(tmp_path) == ["It is odd."]


def test_the_callbacks_of_a_sweep_travel_to_the_jobs_of_a_cluster():
    callback = run.Failures()
    callback._over = threading.Lock().release
    assert vars(pickle.loads(pickle.dumps(callback))) == {}
