"""Child processes that begin clean."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
import time
import traceback
from functools import cache
from multiprocessing.context import SpawnContext

from pipeline.machine.interrupts import start_tracker
from pipeline.wording import error_text

LOOKS_EVERY_S = 1.0
"""Seconds between two looks at who the parent is."""


def spawn_context() -> SpawnContext:
    """Children that start a fresh interpreter: fork would copy this process's threads and locks in an unknown state.

    Inside a job of joblib's launcher the default method is one that only joblib knows, and children of ours would look
    for it; so the default is changed as well.
    """
    if multiprocessing.get_start_method(allow_none=True) != "spawn":
        multiprocessing.set_start_method("spawn", force=True)
    start_tracker()
    return multiprocessing.get_context("spawn")


@cache
def end_with_parent() -> None:
    """From now on this child process ends, wherever it is, as soon as its parent has gone.

    Children of a pool that wait for work would not see that: each of them holds the other end of the pipe, too.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=[parent], daemon=True, name="parent").start()


def _end_after(parent: multiprocessing.process.BaseProcess) -> None:
    if parent.sentinel is not None:
        parent.join()
    while os.getppid() == parent.pid:  # loky's children have no pipe whose end would tell
        time.sleep(LOOKS_EVERY_S)
    os._exit(1)


def portable(error: Exception) -> Exception:
    """The error with its traceback as a note; as a plain one where it cannot travel between processes."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:  # an error may hold anything
        return RuntimeError(error_text(error))
    return copy
