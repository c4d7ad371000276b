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
    end_with_parent()
    return os.getpid()
print(*Parallel(2, return_as="generator_unordered")(delayed(job)(number) for number in range(4)), flush=True)
sys.stdin.read()
"""


def test_workers_of_joblib_end_where_their_parent_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", SWEEP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(number)) for number in set(parent.stdout.readline().split())]
    assert all(worker.is_running() for worker in workers)
    parent.kill()
    parent.wait()
    if psutil.wait_procs(workers, timeout=20)[1]:
        pytest.fail("a worker is still there")
