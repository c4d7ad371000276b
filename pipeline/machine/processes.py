"""Child processes that begin clean."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.context import SpawnContext

from pipeline.machine.interrupts import start_tracker


def spawn_context() -> SpawnContext:
    """Children that start a fresh interpreter: fork would copy this process's threads and locks in an unknown state.

    Inside a job of joblib's launcher the default method is one that only joblib knows, and children of ours would look
    for it; so the default is changed as well.
    """
    if multiprocessing.get_start_method(allow_none=True) != "spawn":
        multiprocessing.set_start_method("spawn", force=True)
    start_tracker()
    return multiprocessing.get_context("spawn")


def end_with_parent() -> None:
    """From now on this child process ends, wherever it is, as soon as its parent has gone.

    Children of a pool that wait for work would not see that: each of them holds the other end of the pipe, too.
    """
    threading.Thread(target=_end_after, args=[multiprocessing.parent_process()], daemon=True, name="parent").start()


def _end_after(parent: multiprocessing.process.BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(1)
