"""What stage=status suggests, pasted into a warm shell."""

import json
import shlex
import shutil

import pytest

from tests.warm_shell import COMMAND, ROOT, WarmShell

pytestmark = pytest.mark.slow
SWEEP = ("-m", "stage=collect", "domain=toy", "policy=random", "episodes=2", "workers=1", "task=corner,maze,key")


@pytest.fixture
def shell(tmp_path):
    """A shell in which a sweep of three tasks has run."""
    shell = WarmShell(tmp_path)
    shell.run(*SWEEP)
    yield shell
    shell.close()


def test_what_is_left_of_a_campaign_is_finished_by_its_suggestion(shell):
    (first,) = (shell.folder / "my data" / "sweeps").glob("*/*")
    for number, task in ((1, "maze"), (2, "key")):
        shutil.rmtree(first / str(number))
        shutil.rmtree(shell.folder / "my data" / "artifacts" / "toy" / task)
    (finish,) = COMMAND.findall(shell.run("stage=status"))
    assert "task=maze,key" in shlex.split(finish)
    assert shell.pasted(finish).count(" built ") == 2
    text = shell.run("stage=status")
    assert "3 (2 later)" in text
    assert COMMAND.findall(text) == []
    shutil.rmtree(first / "0")
    for folder in (shell.folder / "my data" / "sweeps").glob("*/*"):
        if folder != first:
            shutil.rmtree(folder)
    elsewhere = shell.folder / "elsewhere"
    elsewhere.mkdir()
    line = shlex.join(["python", str(ROOT / "run.py"), "stage=status", "paths.root=../my data"])
    _, text = shell.paste(f"cd elsewhere && {line}")
    (finish,) = (line.partition("what is left: ")[2] for line in text.splitlines() if "what is left" in line)
    assert finish.startswith(f"cd {shlex.quote(str(shell.folder))} && python ")
    status, text = shell.paste(f"cd / && {finish}")
    assert status == 0, text
    assert text.count(" found ") == 3


def test_a_sweep_that_failed_is_told_of_by_its_suggestion(shell):
    failing = ["task=corner,nowhere" if word.startswith("task=") else word for word in SWEEP]
    (line,) = [line for line in COMMAND.findall(shell.run(*failing, status=1)) if "stage=status" in line]
    assert "There is no toy task named nowhere" in shell.pasted(line)


def test_older_campaigns_and_further_reasons_are_shown_by_what_is_suggested(shell):
    (sweep,) = (shell.folder / "my data" / "sweeps").glob("*/*")
    for number in range(3):
        job = sweep / str(number)
        known = {"traceback": "", "untried": []}
        failures = [{"stage": "bins", "task": f"{each}", "message": f"odd {number} {each}", **known} for each in "ab"]
        (job / "failed.json").write_text(json.dumps(failures))
        (job / "job.json").write_text(json.dumps({**json.loads((job / "job.json").read_text()), "state": "failed"}))
    for number in range(8):
        shutil.copytree(sweep, sweep.parents[1] / "2020-01-01" / f"0{number}-00-00-000000")
    lines = COMMAND.findall(shell.run("stage=status"))
    (page,) = [line for line in lines if f"stage.status.campaign=sweeps/{sweep.parent.name}/{sweep.name[:8]}" in line]
    assert "odd 2 b" in shell.pasted(page)
    (older,) = [line for line in lines if "stage.status.all=true" in line]
    assert "2020-01-01/00-00-00" in shell.pasted(older)
