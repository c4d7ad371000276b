"""Children end with their parent, whoever started them."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

SWEEP = """
import os, sys
from joblib import Parallel, delayed
from pipeline.machine.processes import end_with_parent
def job(number):
    return os.getpid()
jobs = (delayed(job)(number) for number in range(4))
print(*Parallel(2, return_as="generator_unordered", initializer=end_with_parent)(jobs), flush=True)
sys.stdin.read()
"""


def test_workers_of_joblib_end_where_their_parent_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", SWEEP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline()
    workers = [each for each in psutil.Process(parent.pid).children() if "popen_loky" in " ".join(each.cmdline())]
    assert workers
    parent.kill()
    parent.wait()
    if psutil.wait_procs(workers, timeout=20)[1]:
        pytest.fail("a worker is still there")
