"""What a job that ended without a word leaves in its folder."""

import json

from pipeline.campaign.failures import FAILED, print_failures
from pipeline.campaign.record import RunRecord, record_crash


def test_a_crash_is_one_failure_however_often_it_is_recorded(tmp_path):
    job = tmp_path / "sweep" / "3"
    for _ in range(2):
        record_crash(job, "collect", "toy/corner", "the interpreter crashed (SIGSEGV)")
    (entry,) = json.loads((job / FAILED).read_text())
    assert (entry["stage"], entry["task"], entry["message"]) == (
        "collect", "toy/corner", "the interpreter crashed (SIGSEGV)",
    )  # fmt: skip
    assert print_failures(tmp_path / "sweep") == 1


def test_a_crash_is_added_to_what_the_job_has_said_itself(tmp_path):
    RunRecord(tmp_path).failed("collect", "toy/corner", ValueError("odd"), None)
    record_crash(tmp_path, "collect", "toy/maze", "killed")
    assert [entry["task"] for entry in json.loads((tmp_path / FAILED).read_text())] == ["toy/corner", "toy/maze"]


def test_no_secret_is_kept_of_what_another_program_said(tmp_path):
    crash = record_crash(tmp_path, "", "", "refused: token=hf_abcdefghijklmnopqrstuvwxyzabcdefgh")
    assert "abcdefghijklmnop" not in crash.message + (tmp_path / FAILED).read_text()
