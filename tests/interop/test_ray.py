"""Sweeps over a real cluster of Ray with two nodes: the same data as in one process, and what a lost node leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.side import ROOT, run_by, side_python
from tests.test_run import digests, run

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

COLLECT = ("-m", "stage=collect", "domain=toy", "task=corner,maze", "workers=1")
LONG = (*COLLECT, "episodes=20000")
"""A sweep that is not done before something happens to it."""


@dataclass
class Nodes:
    """Two nodes, and the commands that use them."""

    python: Path
    process: subprocess.Popen[str]
    address: str

    def tell(self, word: str) -> None:
        """`lose` or `gain` the second node."""
        print(word, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline().strip() == word

    def begun(self, root: Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.python), str(ROOT / "run.py"), *words, "+cluster=ray", f"paths.root={root}"],
            env={**os.environ, "RAY_ADDRESS": self.address}, cwd="/", text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def swept(self, root: Path, *words: str, status: int = 0) -> str:
        return closed(self.begun(root, *words), status)


def closed(child: subprocess.Popen[str], status: int = 0) -> str:
    text, _ = child.communicate(timeout=300)
    assert child.returncode == status, text
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    python = side_python("ray")
    with subprocess.Popen(
        [str(python), str(ROOT / "tests" / "interop" / "ray_cluster.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        yield Nodes(python, process, process.stdout.readline().strip())
        process.stdin.close()


def wait_for(there: Callable[[], object]) -> None:
    end = time.monotonic() + 200
    while not there():
        assert time.monotonic() < end
        time.sleep(0.2)


def has_begun(root: Path, task: str) -> bool:
    """Whether the job of a task has made some episodes."""
    return any((root / "artifacts" / "toy" / task).rglob("spill/*"))


def failures(root: Path) -> dict[str, str]:
    found = [entry for path in root.glob("sweeps/*/*/*/failed.json") for entry in json.loads(path.read_text())]
    return {entry["task"]: entry["message"] for entry in found}


def processes_of(label: str) -> list[int]:
    """Ray's process of a job, and the child in which the job runs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:
            continue
        if title == f"ray::{label}":
            found.append(int(folder.name))
    return sorted(found)


def test_a_sweep_over_two_nodes_gives_the_same_data_as_one_process_and_goes_on_where_a_job_fails(nodes, tmp_path):
    words = ("stage=all", "domain=toy", "episodes=6", "workers=1")
    text = nodes.swept(tmp_path / "cluster", "-m", *words, "task=corner,nowhere,maze", status=1)
    assert "Ray has 3 jobs of this sweep, on 2 nodes with 1 core and 2 GB." in text
    assert "#0 task=corner: finished" in text
    assert "#1 task=nowhere: failed: There is no toy task named nowhere" in text
    assert "#2 task=maze: finished" in text
    run(tmp_path / "here", *words, "task=[corner,maze]")
    for task in ("corner", "maze"):
        assert digests(tmp_path / "cluster", task) == digests(tmp_path / "here", task) != {}


def test_the_job_of_a_lost_node_says_so_the_other_ends_well_and_the_same_command_goes_on(nodes, tmp_path):
    words = (*LONG, "cluster.restarts=0")
    child = nodes.begun(tmp_path, *words)
    wait_for(lambda: has_begun(tmp_path, "corner") and has_begun(tmp_path, "maze"))
    nodes.tell("lose")
    text = closed(child, 1)
    ((task, message),) = failures(tmp_path).items()
    assert "was lost, after it had begun again 0 times (cluster.restarts)" in message
    other = {"toy/corner": "#1 task=maze", "toy/maze": "#0 task=corner"}[task]
    assert f"{other}: finished" in text
    text = nodes.swept(tmp_path, *words)
    assert "#0 task=corner: finished" in text
    assert "#1 task=maze: finished" in text


def test_a_job_whose_process_is_killed_begins_again(nodes, tmp_path):
    child = nodes.begun(tmp_path, *LONG)
    wait_for(lambda: has_begun(tmp_path, "corner"))
    os.kill(processes_of("#0 task=corner")[0], signal.SIGKILL)
    assert "#0 task=corner: finished" in closed(child)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_ends_its_jobs(number, nodes, tmp_path):
    child = nodes.begun(tmp_path, *LONG)
    wait_for(lambda: has_begun(tmp_path, "corner"))
    os.killpg(child.pid, number)
    assert "Stopped. What is finished is kept" in closed(child, 128 + number)
    text = run(tmp_path, "stage=status")  # at once: nobody has to wait for silence
    assert "toy/corner" in text.partition("stopped: it was told to end")[0]
    assert "running " not in text.partition("\n")[2]
    wait_for(lambda: not processes_of("#0 task=corner"))


def test_jobs_that_no_node_is_large_enough_for_are_refused(nodes, tmp_path):
    text = nodes.swept(tmp_path, *COLLECT, "cluster.cores=3", "cluster.memory=0.1", status=1)
    assert "Ray cannot run these jobs: no node has what each job asks, cluster.cores=3, cluster.memory=0.1." in text
    assert "There is 1 node with 1 core and 2 GB." in text


def test_without_an_address_this_machine_is_the_node(nodes, tmp_path):
    text = nodes.swept(tmp_path, *COLLECT, "episodes=2", "cluster.address=null")
    assert "on 1 node with" in text
    assert "#1 task=maze: finished" in text


def test_an_address_where_no_cluster_answers_is_told_at_once(nodes, tmp_path):
    text = nodes.swept(tmp_path, *COLLECT, "cluster.address=127.0.0.1:1", status=1)
    assert "No cluster of Ray can be joined at 127.0.0.1:1 (cluster.address, RAY_ADDRESS): Connection refused." in text


def cores_of_a_job(root):
    import sys

    sys.path.insert(0, root)
    from pipeline.launchers.ray import Here
    from pipeline.machine.threads import available_cores

    Here.with_cores(1).settle()
    return {"cores": available_cores()}


def test_a_job_keeps_to_the_cores_that_it_was_given():
    assert int(run_by(side_python("ray"), cores_of_a_job, ROOT)["cores"]) == 1
