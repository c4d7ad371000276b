"""How campaigns stand, told from the folders that jobs and sweeps leave: made by the writers of those folders."""

import json
import os
import time

import pytest

from pipeline.artifacts.runs import JOB
from pipeline.campaign.history import SILENT_SECONDS, campaigns
from pipeline.campaign.job import ALIVE, CAMPAIGN, begin_campaign, campaign_failed, job_record
from pipeline.campaign.record import RunRecord, record_crash
from pipeline.command import Typed, user_typed

SWEEP = ("-m", "stage=collect", "domain=toy", "+sweep=three", "hydra/launcher=joblib")
TASKS = ("corner", "maze", "key")


def words_of(task):
    return ("stage=collect", "domain=toy", "+sweep=three", f"task={task}")


@pytest.fixture
def sweep(tmp_path):
    """A sweep over three tasks that has ended, and of which no job has begun."""
    folder = tmp_path / "sweeps" / "2026-01-01" / "10-00-00"
    begin_campaign(folder, SWEEP, [words_of(task) for task in TASKS], "joblib")()
    return folder


def run_job(folder, *tasks, words=(), failing=None, until=None, state=None):
    """A job that goes through its tasks; one fails, or it is in the middle of one when nothing more is heard of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with user_typed(Typed(tuple(words or words_of(tasks[0])))), job_record(folder) as job:
        record = RunRecord(folder)
        job.asks("toy", ["collect"], tasks)
        for number, task in enumerate(tasks, 1):
            job.at("collect", f"toy/{task}")
            if task == until:
                return
            if task == failing:
                record.failed("collect", f"toy/{task}", ValueError("broken"), None)
            job.over(number)
        job.end(state or ("failed" if failing else "done"))


def states(campaign):
    return {task.label: task.state for job in campaign.jobs for task in job.tasks}


def reasons(campaign):
    return {task.label: task.why for job in campaign.jobs for task in job.tasks if task.why}


def test_each_job_of_a_sweep_is_done_or_failed_or_missing_and_the_rest_is_finished_by_a_narrower_sweep(tmp_path, sweep):
    run_job(sweep / "0", "corner")
    run_job(sweep / "1", "maze", failing="maze")
    (campaign,) = campaigns(tmp_path)
    assert states(campaign) == {"toy/corner": "done", "toy/maze": "failed", "toy/key": "missing"}
    assert reasons(campaign)["toy/maze"].startswith("ValueError: broken")
    assert campaign.remaining() == (*SWEEP, "task=maze,key")
    assert campaign.jobs[1].log == sweep / "1"


def test_jobs_that_are_no_combination_of_values_are_finished_by_the_sweep_as_it_was_typed(tmp_path):
    folder = tmp_path / "sweeps" / "2026-01-01" / "10-00-00"
    jobs = [(*words_of(task), f"seed={seed}") for task in TASKS for seed in (0, 1)]
    begin_campaign(folder, (*SWEEP, "seed=0,1"), jobs, "basic")()
    for number in (1, 2, 4, 5):
        run_job(folder / str(number), TASKS[number // 2], words=jobs[number])
    (campaign,) = campaigns(tmp_path)
    assert campaign.remaining() == (*SWEEP, "seed=0,1")


def test_what_a_sweep_that_still_runs_has_not_begun_is_to_come(tmp_path):
    folder = tmp_path / "sweeps" / "2026-01-01" / "10-00-00"
    over = begin_campaign(folder, SWEEP, [words_of(task) for task in TASKS], "basic")
    (folder / "1").mkdir()
    (folder / "1" / JOB).write_text(json.dumps(record("running", ["maze"])))
    (folder / "1" / ALIVE).touch()
    (campaign,) = campaigns(tmp_path)
    assert states(campaign) == {"toy/corner": "to come", "toy/maze": "running", "toy/key": "to come"}
    assert campaign.goes_on
    assert campaign.remaining() == ()
    over()
    (campaign,) = campaigns(tmp_path)
    assert campaign.count("missing") == 2


def record(state, tasks, **facts):
    known = {"state": state, "words": words_of(tasks[0]), "host": "node7", "domain": "toy", "stages": ["collect"]}
    return {**known, "tasks": tasks, "over": 0, "at": ["collect", f"toy/{tasks[0]}"]} | facts


def test_a_host_that_no_longer_reports_is_told_by_the_clock_of_the_file_system(tmp_path, monkeypatch):
    job = tmp_path / "runs" / "2026-01-01" / "10-00-00"
    job.mkdir(parents=True)
    (job / JOB).write_text(json.dumps(record("running", ["corner", "maze", "key"], over=1)))
    (job / ALIVE).touch()
    monkeypatch.setattr(time, "time", lambda: 0.0)  # a host whose clock is wrong by far
    (campaign,) = campaigns(tmp_path)
    assert states(campaign) == {"toy/corner": "done", "toy/maze": "running", "toy/key": "to come"}
    before = (job / ALIVE).stat().st_mtime - SILENT_SECONDS - 1
    os.utime(job / ALIVE, (before, before))
    (campaign,) = campaigns(tmp_path)
    assert states(campaign) == {"toy/corner": "done", "toy/maze": "missing", "toy/key": "missing"}
    assert reasons(campaign)["toy/maze"] == "stopped: host node7 no longer reports"
    assert sorted(path.name for path in job.iterdir()) == [ALIVE, JOB]


def test_of_a_job_that_crashed_in_a_later_task_the_earlier_ones_are_done_and_the_later_ones_missing(tmp_path):
    job = tmp_path / "runs" / "2026-01-01" / "10-00-00"
    run_job(job, "corner", "maze", "key", until="maze")
    record_crash(job, "collect", "toy/maze", "The process was killed (SIGKILL).\nMore of it.")
    (campaign,) = campaigns(tmp_path)
    assert states(campaign) == {"toy/corner": "done", "toy/maze": "failed", "toy/key": "missing"}
    assert reasons(campaign)["toy/maze"] == "The process was killed (SIGKILL)."
    assert campaign.remaining() == words_of("corner")


def test_a_job_that_was_told_to_end_is_missing(tmp_path):
    job = tmp_path / "runs" / "2026-01-01" / "10-00-00"
    job.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), user_typed(Typed(words_of("key"))), job_record(job):
        raise KeyboardInterrupt
    (campaign,) = campaigns(tmp_path)
    assert (states(campaign), reasons(campaign)) == ({"toy/key": "missing"}, {"toy/key": "stopped: it was told to end"})


def test_a_job_that_the_cluster_refused_has_its_reason(tmp_path, sweep):
    record_crash(sweep / "0", "collect", "toy/corner", "Slurm refuses the jobs")
    (campaign,) = campaigns(tmp_path)
    assert states(campaign) == {"toy/corner": "failed", "toy/maze": "missing", "toy/key": "missing"}
    assert campaign.remaining() == SWEEP


def test_what_the_same_command_has_finished_later_is_done_later(tmp_path, sweep):
    run_job(sweep / "0", "corner")
    run_job(sweep / "1", "maze", failing="maze")
    run_job(tmp_path / "runs" / "2026-01-01" / "10-30-00", "maze", words=("stage=collect", "domain=toy", "workers=1"))
    run_job(tmp_path / "runs" / "2026-01-01" / "10-31-00", "key", words=("stage=collect", "domain=toy", "seed=1"))
    *_, campaign = campaigns(tmp_path)
    assert states(campaign) == {"toy/corner": "done", "toy/maze": "done later", "toy/key": "missing"}
    assert campaign.remaining() == (*SWEEP, "task=key")


def test_a_cause_that_is_no_tasks_own_is_the_reason_of_all_that_were_not_tried(tmp_path):
    job = tmp_path / "runs" / "2026-01-01" / "10-00-00"
    job.mkdir(parents=True)
    with user_typed(Typed(words_of("all"))), job_record(job) as run:
        failures = RunRecord(job)
        run.asks("toy", ["collect"], TASKS)
        failures.failed("collect", "toy/corner", ValueError("full"), None)
        failures.not_tried(["maze", "key"])
        run.over(3)
        run.end("failed")
    (campaign,) = campaigns(tmp_path)
    assert set(states(campaign).values()) == {"failed"}
    assert reasons(campaign)["toy/key"].startswith("not tried: ValueError: full")


def test_the_newest_comes_first_and_status_itself_is_none(tmp_path):
    for kind, time_of, words in (
        ("runs", "09-00-00", words_of("corner")),
        ("runs", "11-00-00", ("stage=status",)),
        ("sweeps", "10-00-00", None),
    ):
        folder = tmp_path / kind / "2026-01-01" / time_of
        if words:
            run_job(folder, "corner", words=words)
        else:
            begin_campaign(folder, SWEEP, [words_of("corner")], "basic")()
    assert [each.name for each in campaigns(tmp_path)] == ["sweeps/2026-01-01/10-00-00", "runs/2026-01-01/09-00-00"]


def test_folders_of_earlier_versions_are_told_by_what_they_hold(tmp_path):
    sweep = tmp_path / "sweeps" / "2025-01-01" / "10-00-00"
    for number, task in enumerate(TASKS):
        (sweep / str(number) / ".hydra").mkdir(parents=True)
        (sweep / str(number) / ".hydra" / "overrides.yaml").write_text(f"- domain=toy\n- task={task}\n")
    (sweep / "multirun.yaml").write_text(
        "hydra:\n  overrides:\n    hydra: [hydra.mode=MULTIRUN]\n    task: [domain=toy, 'task=corner,maze,key']\n"
    )
    (sweep / "0" / "artifacts.json").write_text('[{"stage": "collect", "task": "toy/corner"}]')
    failure = {"stage": "collect", "task": "toy/maze", "message": "broken", "untried": []}
    (sweep / "1" / "failed.json").write_text(json.dumps([failure]))
    (campaign,) = campaigns(tmp_path)
    assert states(campaign) == {"toy/corner": "done", "toy/maze": "failed", "toy/key": "missing"}
    assert campaign.words == ("-m", "domain=toy", "task=corner,maze,key")
    assert campaign.remaining() == ("-m", "domain=toy", "task=maze,key")


@pytest.mark.parametrize("torn", ["", "{", "[]"])
def test_a_record_that_a_power_cut_has_torn_does_not_end_the_list(tmp_path, sweep, torn):
    run_job(sweep / "0", "corner")
    (sweep / "0" / JOB).write_text(torn)
    (campaign,) = campaigns(tmp_path)
    assert campaign.count("missing") == 3
    (sweep / CAMPAIGN).write_text(torn)
    assert len([*campaigns(tmp_path)]) == 1


DAMAGED = ["null", "7", '"x"', '{"state": "running"}', "[1, null]", '[{"task": 3}]', "1e999", "\xff"]
"""JSON that is none, or is not what belongs there."""


@pytest.mark.parametrize("damaged", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("name", [JOB, CAMPAIGN, "failed.json", "artifacts.json", "overrides.yaml", "multirun.yaml"])
def test_a_damaged_record_hides_no_other_campaign(tmp_path, sweep, name, damaged):
    run_job(sweep / "0", "corner")
    run_job(sweep / "1", "maze", failing="maze")
    other = tmp_path / "sweeps" / "2026-01-02" / "10-00-00"
    begin_campaign(other, SWEEP, [words_of("key")], "basic")()
    run_job(other / "0", "key")
    (sweep / "0" / ".hydra").mkdir()
    damage = {
        JOB: [sweep / "0" / JOB, sweep / "1" / JOB],
        CAMPAIGN: [sweep / CAMPAIGN],
        "failed.json": [sweep / "1" / "failed.json"],
        "artifacts.json": [sweep / "0" / JOB, sweep / "0" / "artifacts.json"],
        "overrides.yaml": [sweep / CAMPAIGN, sweep / "0" / JOB, sweep / "0" / ".hydra" / "overrides.yaml"],
        "multirun.yaml": [sweep / CAMPAIGN, sweep / "multirun.yaml"],
    }
    for path in damage[name]:
        path.write_text(damaged, encoding="latin-1")
    whole, hurt = campaigns(tmp_path)
    assert states(whole) == {"toy/key": "done"}
    if name == "multirun.yaml":  # the jobs tell for themselves
        assert states(hurt) == {"toy/corner": "done", "toy/maze": "failed"}
    if name in (JOB, "failed.json"):
        assert hurt.count("failed") == 1
        assert reasons(hurt).get("toy/corner", "its job.json is damaged") == "its job.json is damaged"
    assert isinstance(hurt.remaining(), tuple)


def test_what_failed_is_told_to_be_unknown_where_its_record_is_damaged(tmp_path, sweep):
    run_job(sweep / "1", "maze", failing="maze")
    (sweep / "1" / "failed.json").write_text('[{"task": "toy/maze"}]')
    (campaign,) = campaigns(tmp_path)
    (why,) = {reason for label, reason in reasons(campaign).items() if "damaged" in reason}
    assert str(sweep / "1" / "run.log") in why


def test_a_sweep_whose_command_failed_has_its_reason_and_what_does_better_in_the_place_of_what_was_typed(
    tmp_path, sweep
):
    better = (*SWEEP, "+cluster=slurm", "cluster.partition=batch")
    campaign_failed("Slurm refuses the jobs: no partition.\nOn the first of them: python run.py ...", better)
    (campaign,) = campaigns(tmp_path)
    assert campaign.error == "Slurm refuses the jobs: no partition."
    assert set(states(campaign).values()) == {"missing"}
    assert campaign.remaining() == better
    run_job(sweep / "0", "corner")
    (campaign,) = campaigns(tmp_path)
    assert campaign.remaining() == (*better, "task=maze,key")
    campaign_failed("No cluster of Ray can be joined")
    (campaign,) = campaigns(tmp_path)
    assert (campaign.error, campaign.instead) == ("No cluster of Ray can be joined", ())
    assert campaign.remaining() == (*SWEEP, "task=maze,key")


def test_a_sweep_that_failed_before_its_jobs_were_known_is_told_of(tmp_path):
    begin_campaign(tmp_path / "sweeps" / "2026-01-01" / "10-00-00", SWEEP, None, "basic")()
    assert list(campaigns(tmp_path)) == []
    campaign_failed("broken")
    (campaign,) = campaigns(tmp_path)
    assert (campaign.error, campaign.jobs, campaign.remaining()) == ("broken", (), SWEEP)
    begin_campaign(tmp_path / "sweeps" / "2026-01-09" / "10-00-00", SWEEP, [words_of("corner")], "joblib")()
    (again,) = campaigns(tmp_path)  # it was typed again
    assert (again.error, len(again.jobs)) == ("", 1)
