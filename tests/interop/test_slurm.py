"""Sweeps over a real Slurm of one node: the same data as in one process, and what jobs leave that do not end well."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.test_run import command, digests, run

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

TOOL = Path(__file__).parents[2] / "tools" / "slurm.py"
SMALL = ("+cluster=slurm", "cluster.cores=1", "cluster.memory=2")
COLLECT = ("-m", "stage=collect", "domain=toy", "task=corner,maze", "workers=1", *SMALL)
LONG = (*COLLECT, "episodes=20000")
"""A sweep that is not done before something happens to it."""


def tool():
    sys.path.insert(0, str(TOOL.parent))
    spec = importlib.util.spec_from_file_location("slurm_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands reach a node of its own."""
    slurm = tool()
    try:
        slurm.install()
    except slurm.NotHere as error:
        pytest.skip(str(error))
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, slurm.one_node(Path(folder)) as environment:
        yield environment


@pytest.fixture(autouse=True)
def no_jobs(slurm: dict[str, str]) -> Iterator[None]:
    yield
    tool().end_jobs(slurm)


def begun(slurm: dict[str, str], root: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*words, f"paths.root={root}"), env=slurm, cwd="/", text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def swept(slurm: dict[str, str], root: Path, *words: str, status: int = 0) -> str:
    return closed(begun(slurm, root, *words), status)


def closed(child: subprocess.Popen[str], status: int = 0) -> str:
    text, _ = child.communicate(timeout=600)
    assert child.returncode == status, text
    return text


def asked(slurm: dict[str, str], *words: str) -> str:
    return subprocess.run(words, env=slurm, capture_output=True, text=True, check=True).stdout.strip()


def wait_for(there: Callable[[], object]) -> None:
    end = time.monotonic() + 200
    while not there():
        assert time.monotonic() < end
        time.sleep(0.2)


def wait_for_both(root: Path) -> None:
    """Until both jobs have made some episodes."""
    for task in ("corner", "maze"):
        wait_for(lambda task=task: any((root / "artifacts" / "toy" / task).rglob("spill/*")))


def failures(root: Path) -> dict[str, str]:
    found = [entry for path in root.glob("sweeps/*/*/*/failed.json") for entry in json.loads(path.read_text())]
    return {entry["task"]: entry["message"] for entry in found}


def test_a_sweep_over_slurm_gives_the_same_data_as_one_process_and_goes_on_where_a_job_fails(slurm, tmp_path):
    words = ("stage=all", "domain=toy", "episodes=6", "workers=1")
    text = swept(slurm, tmp_path / "cluster", "-m", *words, "task=corner,nowhere,maze", *SMALL, status=1)
    assert "#0 task=corner: finished" in text
    assert "#1 task=nowhere: failed: There is no toy task named nowhere" in text
    assert "#2 task=maze: finished" in text
    run(tmp_path / "here", *words, "task=[corner,maze]")
    for task in ("corner", "maze"):
        assert digests(tmp_path / "cluster", task) == digests(tmp_path / "here", task) != {}
    text = swept(slurm, tmp_path / "cluster", *words, "task=corner", *SMALL)  # without -m, too
    assert "#0: finished" in text
    (manifest,) = (tmp_path / "cluster").glob("artifacts/toy/maze/episodes/*/manifest.json")
    assert json.loads(manifest.read_text())["command"].endswith(
        "task=maze " + " ".join(words[2:]) + f" paths.root={tmp_path / 'cluster'}"
    )


def test_a_job_that_is_cancelled_and_one_whose_process_is_killed_say_so_and_the_same_command_goes_on(slurm, tmp_path):
    child = begun(slurm, tmp_path, *LONG)
    wait_for_both(tmp_path)
    array = asked(slurm, "squeue", "--noheader", "--format=%F", "--array").split()[0]
    asked(slurm, "scancel", f"{array}_0")
    os.kill(process_of(f"{array}_1"), signal.SIGKILL)
    text = closed(child, 1)
    found = failures(tmp_path)
    assert "Slurm: CANCELLED" in found["toy/corner"]
    assert "Slurm: FAILED" in found["toy/maze"]
    assert f"{array}_1_0_log.out" in found["toy/maze"]
    assert "Killed" in found["toy/maze"]
    assert "2 failed" in text
    text = swept(slurm, tmp_path, *LONG)
    assert "#0 task=corner: finished\n" in text
    assert "#1 task=maze: finished\n" in text


def process_of(job: str) -> int:
    """The Python of a job that submitit has started: the first of those that have its number."""
    array, _, number = job.partition("_")
    wanted = {f"SLURM_ARRAY_JOB_ID={array}".encode(), f"SLURM_ARRAY_TASK_ID={number}".encode(), b"SLURM_STEP_ID=0"}
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, variables = ((folder / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"submitit.core._submit" in words and wanted <= set(variables):
            found[int(folder.name)] = parent
    (first,) = (process for process, parent in found.items() if parent not in found)
    return first


def test_what_slurm_refuses_is_told_in_its_words_and_with_what_can_be_done(slurm, tmp_path):
    text = swept(slurm, tmp_path, *COLLECT, "episodes=2", "cluster.partition=nowhere", status=1)
    assert "invalid partition specified: nowhere" in text
    assert "Its partitions: batch." in text
    assert "Traceback" not in text
    status = run(tmp_path, "stage=status")
    assert "the command failed: Slurm refuses the jobs: " in status
    assert "invalid partition specified: nowhere" in status
    assert "cluster.partition=batch" in status.split("what is left: ")[1]
    suggestion = shlex.split(text.split("On the first of them: ")[1])[2:]
    assert "cluster.partition=batch" in suggestion
    assert "#1 task=maze: finished" in swept(slurm, tmp_path, *suggestion)
    swept(slurm, tmp_path, *COLLECT, "cluster.cores=1000", status=1)
    assert "it could never run as it asks, with cluster.cores=1000" in failures(tmp_path)["toy/maze"]


def test_a_stopped_command_leaves_its_jobs_and_says_how_to_end_them(slurm, tmp_path):
    child = begun(slurm, tmp_path, *LONG)
    wait_for_both(tmp_path)
    os.killpg(child.pid, signal.SIGINT)
    text = closed(child, 130)
    array = asked(slurm, "squeue", "--noheader", "--format=%F", "--array").split()[0]
    assert f"The jobs go on in Slurm: `squeue --jobs={array}` shows them, `scancel {array}` ends them." in text
    assert len(asked(slurm, "squeue", "--noheader", "--array").splitlines()) == 2
    text = swept(slurm, tmp_path, *LONG)  # while they run
    assert "#1 task=maze: finished\n" in text
    made = [
        each for path in sorted(tmp_path.glob("sweeps/*/*/*/artifacts.json")) for each in json.loads(path.read_text())
    ]
    assert [each["built"] for each in made] == [True, True, False, False]


def test_a_sweep_of_experiments_goes_to_the_cluster_that_is_added_to_it(slurm, tmp_path):
    words = ("-m", "experiment=regent_metaworld,regent_mujoco", "stage=catalog", *SMALL)
    text = swept(slurm, tmp_path, *words)
    assert "#0 experiment=regent_metaworld: finished" in text
    assert "#1 experiment=regent_mujoco: finished" in text


def test_a_job_whose_time_is_over_begins_again_from_what_it_has_made_and_then_says_so(slurm, tmp_path):
    words = ("-m", "stage=collect", "domain=toy", "task=corner", "workers=1", "episodes=3000000", *SMALL)
    text = swept(slurm, tmp_path, *words, "cluster.time=1", "cluster.restarts=1", status=1)
    assert "it ran longer than its time, 1 minutes" in failures(tmp_path)["toy/corner"]
    assert "#0: failed: Slurm: TIMEOUT" in text
    (log,) = tmp_path.glob("sweeps/*/*/slurm/*/*_log.out")
    assert "resuming the unfinished" in log.read_text()


def test_a_job_that_needs_more_than_its_memory_says_so(slurm, tmp_path):
    words = (word.replace("cluster.memory=2", "cluster.memory=0.2") for word in LONG)
    text = swept(slurm, tmp_path, *words, status=1)
    assert "it needed more than its memory, 0.2 GB; cluster.memory=GB gives more" in failures(tmp_path)["toy/maze"]
    assert "2 failed" in text


def test_the_jobs_of_a_node_that_died_begin_again_from_what_they_have_made(slurm, tmp_path):
    child = begun(slurm, tmp_path, *LONG)
    wait_for_both(tmp_path)
    kill_node(slurm)
    wait_for(lambda: asked(slurm, "squeue", "--noheader", "--format=%T", "--array").split() == ["PENDING"] * 2)
    with tool().node(slurm, Path(slurm["SLURM_CONF"]).parent):
        text = closed(child)
        assert "#0 task=corner: finished\n" in text
        assert "#1 task=maze: finished\n" in text
        for log in tmp_path.glob("sweeps/*/*/slurm/*/*_log.out"):
            assert "resuming the unfinished" in log.read_text()


def kill_node(slurm: dict[str, str]) -> None:
    """End all that runs on the node at once, its daemon first, as when the power goes."""
    victims: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() not in ("slurmd", "slurmstepd"):
                continue
            all_of_it = [process, *process.children(recursive=True)]
            if any(each.environ().get("SLURM_CONF") == slurm["SLURM_CONF"] for each in all_of_it):
                victims += all_of_it
    assert len(victims) > 3
    for victim in sorted(victims, key=lambda process: process.name() != "slurmd"):
        with suppress(psutil.NoSuchProcess):
            victim.kill()
