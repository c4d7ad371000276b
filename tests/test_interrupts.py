"""Ctrl-C and SIGTERM, for real: one line, the exit status that shells expect, no process left, and the work goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.test_run import command, run

COLLECT = ("stage=collect", "domain=toy", "workers=2")
SWEEP = ("-m", "stage=collect", "domain=toy", "task=corner,maze", "workers=1", "hydra/launcher=joblib")
LINE = "Stopped. What is finished is kept, and the same command goes on from there.\n"


def alive(session: int) -> list[str]:
    """The processes of a session that still run, by their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def stopped(root: Path, words: tuple[str, ...], number: int, group: bool) -> tuple[int, str]:
    """Exit status and all that is printed, of a run that gets a signal as soon as it has made an episode."""
    child = subprocess.Popen(
        command(*words, "episodes=20000", f"paths.root={root}"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not any(root.rglob("spill/*")) and time.monotonic() < end:
            time.sleep(0.05)
        (os.killpg if group else os.kill)(child.pid, number)
        printed, _ = child.communicate(timeout=30)
        end = time.monotonic() + 10
        while alive(child.pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert alive(child.pid) == []
        return child.returncode, printed
    finally:
        if alive(child.pid):
            os.killpg(child.pid, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("words", "number", "group", "status"),
    [
        (COLLECT, signal.SIGINT, True, 130),
        (COLLECT, signal.SIGTERM, False, 143),
        (SWEEP, signal.SIGINT, True, 130),
        pytest.param(SWEEP, signal.SIGTERM, False, 143, marks=pytest.mark.slow),
    ],
    ids=["Ctrl-C", "SIGTERM", "Ctrl-C in a sweep", "SIGTERM in a sweep"],
)
def test_a_stopped_run_says_so_in_one_line_and_leaves_no_process(tmp_path, words, number, group, status):
    found, printed = stopped(tmp_path, words, number, group)
    assert (found, printed.splitlines(keepends=True)[-1]) == (status, LINE)
    assert "Traceback" not in printed
    assert "Warning" not in printed
    assert {json.loads(path.read_text())["state"] for path in tmp_path.rglob("job.json")} == {"stopped"}
    text = run(tmp_path, "stage=collect", "domain=toy", "task=corner", "episodes=4", "workers=1")
    assert "collect toy/corner built" in text


def test_an_interrupt_while_the_program_is_still_being_loaded_waits_for_its_answer(tmp_path):
    child = subprocess.Popen(
        command(*COLLECT, f"paths.root={tmp_path}"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    assert (child.communicate(timeout=60)[0], child.returncode) == (LINE, 130)
