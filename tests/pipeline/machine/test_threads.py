"""The cores of a process, and the threads of its BLAS library."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from pipeline.machine.threads import available_cores, helping, one_blas_thread


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
