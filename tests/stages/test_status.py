"""What stage=status prints, and writes for programs."""

import json

import pytest

from pipeline.campaign.job import begin_campaign, campaign_failed, job_record
from pipeline.campaign.record import RunRecord
from pipeline.command import Typed, user_typed
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from stages import status

JOBS = [("stage=collect", "domain=toy", f"task={task}") for task in ("corner", "maze", "key")]


@pytest.fixture
def root(tmp_path):
    """A sweep of three jobs, of which one is done, one has failed and one is missing; and an older run."""
    sweep = tmp_path / "sweeps" / "2026-01-02" / "10-00-00-000001"
    with user_typed(Typed((), "run.py")):
        begin_campaign(sweep, ("-m", "stage=collect", "domain=toy", "task=corner,maze,key"), JOBS, "basic")()
    run = tmp_path / "runs" / "2026-01-01" / "10-00-00-000001"
    for folder, words in ((sweep / "0", JOBS[0]), (sweep / "1", JOBS[1]), (run, JOBS[0])):
        folder.mkdir(parents=True)
        with user_typed(Typed(words)), job_record(folder) as job:
            task = words[-1].removeprefix("task=")
            job.asks("toy", ["collect"], [task])
            (folder / "run.log").touch()
            if task == "maze":
                RunRecord(folder).failed("collect", "toy/maze", InvalidInput("too [large]\nmore"), None)
            job.over(1)
            job.end("failed" if task == "maze" else "done")
    return tmp_path


def printed(capsys, root, **settings):
    status.run(**{"workspace": Workspace(str(root)), "all": False, "campaign": None, "json": None} | settings)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_each_campaign_is_a_row_and_what_is_left_stands_below_with_reason_log_and_command(capsys, root):
    lines = printed(capsys, root)
    here = lines[1].split()[1]
    assert lines[1] == f"2026-01-02/10-00-00 {here} 1 1 1 -m stage=collect domain=toy task=corner,maze,key"
    assert lines[2] == f"2026-01-01/10-00-00 {here} 1 stage=collect domain=toy task=corner"
    assert lines[4:] == [
        "2026-01-02/10-00-00",
        f"failed toy/maze on {here}, collect: too [large]",
        f"log: {root}/sweeps/2026-01-02/10-00-00-000001/1/run.log",
        "missing toy/key, not begun",
        "what is left: python run.py -m stage=collect domain=toy task=maze,key",
    ]


def test_one_campaign_is_asked_for_by_a_part_of_its_name(capsys, root):
    assert "2026-01-02" not in "".join(printed(capsys, root, campaign="01-01/10"))
    with pytest.raises(InvalidInput, match="fits several: sweeps/2026-01-02"):
        printed(capsys, root, campaign="10-00-00")
    with pytest.raises(InvalidInput, match="2026-01-03"):
        printed(capsys, root, campaign="2026-01-03/10-00-00")


def test_programs_get_a_file(capsys, root, tmp_path):
    printed(capsys, root, json=str(tmp_path / "status.json"))
    first, second = json.loads((tmp_path / "status.json").read_text())
    assert first["tasks"] == {"done": 1, "done later": 0, "running": 0, "to come": 0, "failed": 1, "missing": 1}
    assert [each["task"] for each in first["not_done"]] == ["toy/maze", "toy/key"]
    assert (second["not_done"], second["finish"]) == ([], "")


def test_where_nothing_has_run_it_says_so(capsys, tmp_path):
    assert printed(capsys, tmp_path / "none") == [f"No campaign is there yet under {tmp_path}/none."]


def test_why_a_command_failed_stands_above_what_is_left_until_that_is_done(capsys, tmp_path):
    sweep = tmp_path / "sweeps" / "2026-01-02" / "10-00-00-000001"
    with user_typed(Typed((), "run.py")):
        begin_campaign(sweep, ("-m", "stage=collect", "domain=toy", "task=corner,maze,key"), JOBS, "slurm")()
        campaign_failed(f"Slurm refuses the jobs: {'why ' * 50}.")
    assert printed(capsys, tmp_path, json=str(tmp_path / "status.json"))[3:] == [
        "2026-01-02/10-00-00",
        f"the command failed: Slurm refuses the jobs: {'why ' * 49}why .",
        "missing 3 tasks (toy/corner, toy/maze, toy/key), not begun",
        "what is left, when that is mended: python run.py -m stage=collect domain=toy task=corner,maze,key",
    ]
    assert json.loads((tmp_path / "status.json").read_text())[0]["error"].startswith("Slurm refuses the jobs: why")
    with user_typed(Typed((), "run.py")):
        campaign_failed("Slurm refuses the jobs", ("-m", "stage=collect", "cluster.partition=batch"))
    assert "what is left: python run.py -m stage=collect cluster.partition=batch" in printed(capsys, tmp_path)
    for number, words in enumerate(JOBS):
        run = tmp_path / "runs" / "2026-01-03" / f"10-00-0{number}-000001"
        run.mkdir(parents=True)
        with user_typed(Typed(words)), job_record(run) as job:
            job.asks("toy", ["collect"], [words[-1].removeprefix("task=")])
            job.end("done")
    assert "the command failed" not in "".join(printed(capsys, tmp_path))
