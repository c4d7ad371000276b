"""The cores of this process, and keeping the BLAS library from starting threads on them."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_BLAS_LOCK = threading.RLock()  # the number of BLAS threads belongs to the process: one caller at a time sets it


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
