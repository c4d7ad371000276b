"""Toy domains for sweeps: one whose simulator ends the process of the job, and one that counts those that play."""

import ctypes
import os
import signal
import sys
from pathlib import Path

from pipeline.envs.toy import Toy
from pipeline.machine.threads import available_cores

ENDS = {
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(0),  # a status that says all is well
    "leave": lambda: sys.exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}
WORDS = ("domain=toy", "domain.environment._target_=tests.crashing.Crashing")


class Crashing(Toy):
    """Crashes in the process of the job, where a dataset's identity is asked for, never in a worker."""

    def __init__(self, task, **settings):
        super().__init__(task, **settings)
        self._task = task

    def identity(self):
        if how := os.environ.get(f"CRASH_{self._task.upper()}"):
            ENDS[how]()
        return super().identity()


class Counting(Toy):
    """Leaves a file for each process that plays, with the cores that it has for its own threads."""

    def __init__(self, task, **settings):
        super().__init__(task, **settings)
        self._task = task

    def reset(self, seed):
        Path(os.environ["COUNT"], f"{self._task}-{os.getpid()}").write_text(str(available_cores()))
        return super().reset(seed)
