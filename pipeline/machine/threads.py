"""The cores of this process, which all that starts threads or workers shares, and one thread for the BLAS library."""

from __future__ import annotations

import functools
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import Any

from pipeline.machine.variables import variables_set

CORES = "REPERTOIRE_CORES"
"""The variable by which whoever runs several jobs side by side says how many cores each of them has. It is inherited:
the workers of a job have one each."""

SLURM_CORES = "SLURM_CPUS_PER_TASK"

NATIVE_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip
"""Variables that libraries read when they are loaded: OpenMP (torch, FAISS), BLAS, numba, and Rust's (BLAKE3)."""

_BLAS_LOCK = threading.RLock()  # the number of BLAS threads belongs to the process: one caller at a time sets it


def available_cores() -> int:
    """Cores that this process may use, at least 1: the least of what is said to it.

    By the system (the cores that it may run on), by its control group (a part of a core counts as one), by Slurm, and
    by the one that shares the cores out to several jobs (`CORES`).
    """
    given = [_cores_of_system(), _cores_of_group(), *(_number(os.environ.get(name)) for name in (SLURM_CORES, CORES))]
    return min(number for number in given if number)


def own_threads() -> int:
    """Threads that a process may have of its own: its cores; 1 in a worker that somebody else's library has started,
    such as torch's DataLoader, as that may have one for each core.
    """
    if parent_process() is None or CORES in os.environ or _job == os.getpid():
        return available_cores()
    return 1


_job: int | None = None
"""The process that does a job for the one that it was forked from, and has the cores to itself."""


def keep_to_cores(is_job: bool = False) -> None:
    """From now on native libraries start no more threads than this process has cores, loaded or not, here and in
    processes that it starts. `is_job`: this process has the cores to itself though it has a parent.

    Left to themselves they take all cores that the system would let them run on.
    """
    global _job
    _job = os.getpid() if is_job else _job
    cores = available_cores()
    if cores < _cores_of_system():
        for name in NATIVE_THREADS:
            os.environ[name] = str(min(cores, _number(os.environ.get(name)) or cores))
        _limit_loaded(cores)


def _limit_loaded(cores: int) -> None:
    """Limit the libraries that are loaded already, which read no variable any more."""
    if "numpy" in sys.modules:
        from threadpoolctl import ThreadpoolController

        for library in ThreadpoolController().lib_controllers:
            if (library.num_threads or 1) > cores:
                library.set_num_threads(cores)
    of_their_own = (("torch", "get_num_threads", "set_num_threads"), ("pyarrow", "cpu_count", "set_cpu_count"))
    for name, count, limit in of_their_own:
        if (module := sys.modules.get(name)) is not None and getattr(module, count)() > cores:
            getattr(module, limit)(cores)


def have_one_core() -> None:
    """In a worker process: it has one core, and its siblings have the others."""
    os.environ.update(dict.fromkeys((CORES, *NATIVE_THREADS), "1"))
    _limit_loaded(1)


@contextmanager
def one_core_each() -> Iterator[None]:
    """Processes that are started inside the block have one core each: their siblings have the others."""
    with variables_set(dict.fromkeys((CORES, *NATIVE_THREADS), "1")):
        yield


def _cores_of_system() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _cores_of_group() -> int | None:
    from pipeline.machine.cgroups import cpu_quota

    quota = cpu_quota()
    return None if quota is None else math.ceil(quota)


def _number(text: str | None) -> int | None:
    """A number of cores that a variable holds; None for anything else, as OpenMP's `4,2`."""
    return int(text) if text is not None and text.isdecimal() and int(text) > 0 else None


_helping = threading.local()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside the block, matrix products run on the calling thread alone. Waits while another thread is inside,
    but for a thread that is `helping` it.
    """
    if getattr(_helping, "now", False):
        yield
        return
    with _BLAS_LOCK, _blas_controller().limit(limits=1, user_api="blas"):
        yield


@contextmanager
def helping() -> Iterator[None]:
    """In a thread that works for one that is inside `one_blas_thread`: enters it at once."""
    _helping.now = True
    try:
        yield
    finally:
        _helping.now = False


@functools.cache
def _blas_controller() -> Any:
    # Here, not at the top: it looks through every loaded library, and only a search needs it.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
