"""What is read from Slurm's queue."""

import pytest

from pipeline.launchers.queue import FIELDS, JobState, NoAnswer, in_words, states_of
from tests.pipeline.launchers.programs import put


def row(*texts):
    return "".join(text.ljust(width) for text, width in zip(texts, FIELDS.values(), strict=True))


def test_states_are_read_by_column_and_no_reason_is_no_word(tmp_path, monkeypatch):
    rows = [row("12_0", "RUNNING", "None", "node7"), row("12_1", "PENDING", "Nodes required are DOWN", "")]
    put(tmp_path, monkeypatch, squeue="cat <<END\n" + "\n".join(rows) + "\nEND")
    assert states_of(["12"]) == {
        "12_0": JobState("RUNNING", "", "node7"),
        "12_1": JobState("PENDING", "Nodes required are DOWN"),
    }


def test_jobs_that_slurm_has_forgotten_are_none_and_a_controller_that_is_away_is_no_answer(tmp_path, monkeypatch):
    put(tmp_path, monkeypatch, squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert states_of(["12"]) == {}
    put(tmp_path, monkeypatch, squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(NoAnswer, match="Unable to contact slurm controller"):
        states_of(["12"])


@pytest.mark.parametrize(
    ("state", "ended", "hopeless", "obstacle"),
    [
        (JobState("RUNNING"), False, False, ""),
        (JobState("COMPLETING"), False, False, ""),
        (JobState("TIMEOUT", "TimeLimit"), True, False, ""),
        (JobState("PENDING", "Priority"), False, False, ""),
        (JobState("PENDING", "QOSMaxJobsPerUserLimit"), False, False, "QOSMaxJobsPerUserLimit"),
        (JobState("PENDING", "PartitionTimeLimit"), False, True, ""),
    ],
)
def test_a_job_runs_waits_or_never_can_run(state, ended, hopeless, obstacle):
    assert (state.ended, state.hopeless, state.obstacle) == (ended, hopeless, obstacle)


def test_what_a_command_of_slurm_prints_is_told_as_sentences():
    said = "sbatch: error: invalid partition specified: gpu\nsbatch: error: Batch job submission failed: No such."
    assert in_words(said) == "invalid partition specified: gpu. Batch job submission failed: No such."
