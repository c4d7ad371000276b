"""What is said where a cluster takes no jobs."""

import pytest

from pipeline.command import Typed, user_typed
from pipeline.launchers.job_numbers import Refused, check_numbers
from pipeline.launchers.refusal import SLURM_NUMBERS, largest_array, refused_by_slurm, require_slurm
from tests.pipeline.launchers.programs import put

WORDS = ("-m", "stage=all", "task=a,b", "+cluster=slurm", "cluster.partition=gpu", "cluster.cores=2")
NUMBERS = {"cpus_per_task": 4, "mem": 0.5, "time": 60, "max_num_timeout": 0}
UNKNOWN = "sbatch: error: Batch job submission failed: Invalid partition name specified"


def test_an_unknown_partition_is_told_with_those_that_there_are(tmp_path, monkeypatch):
    put(tmp_path, monkeypatch, sinfo="printf 'long\\nshort\\nlong\\n'")
    with user_typed(Typed(WORDS)):
        said = str(refused_by_slurm(UNKNOWN)).splitlines()
    assert said == [
        "Slurm refuses the jobs: Batch job submission failed: Invalid partition name specified. Its partitions: long, "
        "short.",
        "On the first of them: python run.py -m stage=all task=a,b cluster.partition=long +cluster=slurm "
        "cluster.cores=2",
    ]


def test_another_refusal_is_told_in_slurms_words(tmp_path, monkeypatch):
    put(tmp_path, monkeypatch)
    said = str(refused_by_slurm("sbatch: error: Job violates accounting/QOS policy"))
    assert said.startswith("Slurm refuses the jobs: Job violates accounting/QOS policy.\nWhat its partitions have")
    assert "Invalid partition" in str(refused_by_slurm(UNKNOWN))  # sinfo is not there


def test_without_slurm_the_command_for_this_machine_is_told(tmp_path, monkeypatch):
    put(tmp_path, monkeypatch)
    with user_typed(Typed(WORDS)), pytest.raises(Refused, match="sbatch is not found") as error:
        require_slurm()
    assert str(error.value).endswith("On this machine: python run.py -m stage=all task=a,b")
    put(tmp_path, monkeypatch, sbatch="", srun="", squeue="")
    require_slurm()


def test_slurms_programs_without_a_cluster_tell_the_command_for_this_machine():
    with user_typed(Typed(WORDS)):
        said = str(refused_by_slurm("sbatch: fatal: Could not establish a configuration source"))
    assert said.startswith("Slurm's programs are here, but they know no cluster: ")
    assert said.endswith("On this machine: python run.py -m stage=all task=a,b")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time": "24:00:00"}, "cluster.time=24:00:00 must be a whole number of minutes"),
        ({"cpus_per_task": 1.5}, "cluster.cores=1.5 must be a whole number of cores"),
        ({"mem": "16GB"}, "cluster.memory=16GB must be a number of GB"),
        ({"mem": None}, "cluster.memory=None must be a number"),
        ({"max_num_timeout": True}, "cluster.restarts=True must be a whole number"),
        ({"time": -1}, "cluster.time=-1 must be"),
        ({"mem": 0}, "cluster.memory=0 must be"),
        ({"mem": float("nan")}, "cluster.memory=nan must be"),
        ({"mem": float("inf")}, "cluster.memory=inf must be"),
        ({"mem": 0.0009}, "cluster.memory=0.0009 must be"),  # 0 MB, which is all of a node
    ],
)
def test_numbers_of_a_job_that_are_none_are_refused(settings, message):
    check_numbers(NUMBERS, SLURM_NUMBERS)
    with pytest.raises(Refused, match=message):
        check_numbers({**NUMBERS, **settings}, SLURM_NUMBERS)


def test_an_array_is_as_large_as_slurm_says(tmp_path, monkeypatch):
    put(tmp_path, monkeypatch, scontrol="echo 'MaxArraySize            = 51'")
    assert largest_array() == 50
    put(tmp_path, monkeypatch, scontrol="exit 1")
    assert largest_array() == 1000
