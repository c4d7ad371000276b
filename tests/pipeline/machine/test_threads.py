"""The cores of a process, and the threads of its BLAS library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from pipeline.machine.threads import (
    CORES,
    NATIVE_THREADS,
    SLURM_CORES,
    available_cores,
    helping,
    one_blas_thread,
    one_core_each,
)  # fmt: skip


def blas_threads() -> set[int]:
    """Of numpy's own library; other packages bring more of them, which no matrix product here uses."""
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return {library["num_threads"] for library in blas if "numpy" in library["filepath"]}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the cores of a process cannot be chosen here")
def test_only_the_cores_that_this_process_may_use_are_counted():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert available_cores() == len(before)


@pytest.mark.parametrize("name", [CORES, SLURM_CORES])
def test_what_a_job_was_given_counts_where_it_is_less_than_the_system_would_let_it_have(monkeypatch, name):
    everything = available_cores()
    for text, cores in (("1", 1), (str(everything + 7), everything), ("", everything), ("many", everything)):
        monkeypatch.setenv(name, text)
        assert available_cores() == cores


COUNT = """
import json, os, sys
from pipeline.machine.threads import available_cores, keep_to_cores

if "late" in sys.argv:
    import numpy, torch, faiss, pyarrow
keep_to_cores()
import faiss, numba, numpy, pyarrow, torch
from threadpoolctl import threadpool_info

numpy.ones((300, 300)) @ numpy.ones((300, 300))
print(json.dumps({
    "cores": available_cores(),
    "libraries": {os.path.basename(each["filepath"]): each["num_threads"] for each in threadpool_info()},
    "torch": torch.get_num_threads(), "faiss": faiss.omp_get_max_threads(), "arrow": pyarrow.cpu_count(),
    **({} if "late" in sys.argv else {"numba": numba.get_num_threads()}),
}))
"""


@pytest.mark.skipif(available_cores() < 2, reason="one core cannot be shared")
@pytest.mark.parametrize("when", [pytest.param("early", marks=pytest.mark.slow), "late"])
def test_every_library_keeps_to_the_cores_of_its_job(when):
    environment = {name: value for name, value in os.environ.items() if name not in NATIVE_THREADS} | {CORES: "1"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, when], capture_output=True, text=True, env=environment, check=True
    )
    found = json.loads(done.stdout)
    libraries = found.pop("libraries")
    assert set(found.values()) == {1}
    assert set(libraries.values()) == {1}
    assert len(libraries) > 1


def test_workers_that_are_started_side_by_side_have_one_core_each():
    before = os.environ.get(CORES)
    with one_core_each():
        script = "from pipeline.machine.threads import available_cores as cores; print(cores())"
        assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"1\n"
    assert os.environ.get(CORES) == before


def test_the_blas_library_has_one_thread_inside_and_its_own_number_afterwards():
    np.ones((4, 4)) @ np.ones((4, 4))
    before = blas_threads()
    with pytest.raises(RuntimeError, match="on purpose"), one_blas_thread():
        assert blas_threads() == {1}
        raise RuntimeError("on purpose")
    assert blas_threads() == before


def test_a_second_caller_waits_until_the_first_is_out():
    entered = threading.Event()

    def second() -> None:
        with one_blas_thread():
            entered.set()

    thread = threading.Thread(target=second)
    with one_blas_thread():
        thread.start()
        assert not entered.wait(0.1)
    thread.join(timeout=10)
    assert entered.is_set()


def test_a_helper_of_the_one_inside_does_not_wait():
    def helper() -> set[int]:
        with helping(), one_blas_thread():
            return blas_threads()

    with one_blas_thread(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(helper).result(10) == {1}
